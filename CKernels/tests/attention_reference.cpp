#include "tests/attention_reference.h"

namespace gpu::test {
namespace {

size_t place_in_cache(int block, int part, int heads, int head, int place, int dimension, int i) {
  return ((((size_t(block) * 2 + size_t(part)) * size_t(heads) + size_t(head)) * kv_block_tokens +
           size_t(place)) *
          size_t(dimension)) +
         size_t(i);
}

}  // namespace

template <class T>
AttentionInputs<T>::AttentionInputs(const AttentionCase& c) : shape(c) {
  const size_t sequences = c.queries.size();
  for (int count : c.queries) starts.push_back(tokens += count);
  int needed = 0;
  for (int context : c.contexts) {
    int blocks = (context + kv_block_tokens - 1) / kv_block_tokens;
    table_stride = std::max(table_stride, blocks);
    needed += blocks;
  }
  table_stride += 1;  // as a pool's tables are: wider than any sequence
  pages = needed + 3;

  // The pages of the pool in random order.
  simt::Random random(11);
  std::vector<int32_t> order;
  for (int page = 0; page < pages; ++page) order.push_back(page);
  for (size_t i = order.size(); i > 1; --i) std::swap(order[i - 1], order[random.below(uint32_t(i))]);

  const int row = c.key_heads * c.dimension;
  cache = std::make_unique<DeviceArray<T>>(
      "cache", size_t(c.offset) + size_t(pages) * 2 * size_t(row) * kv_block_tokens);
  // Entries past a sequence's last block must not be read as block numbers.
  tables.assign(sequences * size_t(table_stride), 1 << 28);
  size_t next = 0;
  for (size_t s = 0; s < sequences; ++s) {
    for (int position = 0; position < c.contexts[s]; ++position) {
      int32_t& block = tables[s * size_t(table_stride) + size_t(position / kv_block_tokens)];
      if (position % kv_block_tokens == 0) block = order[next++];
      for (int part : {0, 1}) {
        for (int head = 0; head < c.key_heads; ++head) {
          auto values = random_values<T>(size_t(c.dimension), random.next(), part ? 1.0f : 2.0f);
          for (int i = 0; i < c.dimension; ++i) {
            cache_element(int(s), position, part, head, i) = values[size_t(i)];
          }
        }
      }
    }
  }
  for (size_t s = 0; s < sequences; ++s) {
    for (int block = 0; block * kv_block_tokens < c.contexts[s]; ++block) {
      bool seen = false;
      for (int key = block * kv_block_tokens; key < (block + 1) * kv_block_tokens; ++key) {
        for (int r = 0; r < c.queries[s]; ++r) seen |= sees(int(s), c.contexts[s] - c.queries[s] + r, key);
      }
      if (!seen) tables[s * size_t(table_stride) + size_t(block)] = order[next];
    }
  }
  const int width = c.query_heads * c.dimension;
  query_step = width + c.padding;
  auto make_query = [&](const char* name, uint64_t seed) {
    auto values = random_values<T>(size_t(c.offset) + size_t(tokens) * size_t(query_step), seed, 2.0f);
    for (size_t i = 0; i < values.size(); ++i) {
      if (i < size_t(c.offset) || int(i - size_t(c.offset)) % query_step >= width) values[i].bits = 0xffff;
    }
    return std::make_unique<DeviceArray<T>>(name, values);
  };
  query = make_query("query", 12);
  sink_query = make_query("sink query", 13);
  output = std::make_unique<DeviceArray<T>>("output", size_t(c.offset) + size_t(tokens) * size_t(width));
  // Zeros, as the reference gives them: they must stay.
  for (size_t i = 0; i < size_t(c.offset); ++i) (*output)[i].bits = 0;
  query_starts = std::make_unique<DeviceArray<int32_t>>("query starts", starts);
  contexts = std::make_unique<DeviceArray<int32_t>>(
      "contexts", std::vector<int32_t>(c.contexts.begin(), c.contexts.end()));
  block_tables = std::make_unique<DeviceArray<int32_t>>("block tables", tables);
  std::vector<float> slope_values;
  for (int head = 0; head < c.query_heads; ++head) slope_values.push_back(std::exp2(-1.0f - float(head)));
  slopes = std::make_unique<DeviceArray<float>>("slopes", slope_values);
  // One far below the scores, one among them, one far above, and so on.
  std::vector<float> sink_values;
  for (int head = 0; head < c.query_heads; ++head) sink_values.push_back(float(head % 3) * 60.0f - 59.0f);
  sink_logits = std::make_unique<DeviceArray<float>>("sink logits", sink_values);
  log_sums = std::make_unique<DeviceArray<float>>("log sums", size_t(c.query_heads) * size_t(tokens));
}

template <class T>
T& AttentionInputs<T>::cache_element(int sequence, int position, int part, int key_head, int i) {
  int block = tables[size_t(sequence * table_stride + position / kv_block_tokens)];
  return (*cache)[size_t(shape.offset) + place_in_cache(block, part, shape.key_heads, key_head,
                                                        position % kv_block_tokens, shape.dimension, i)];
}

template <class T>
bool AttentionInputs<T>::meets_as_sink(int position, int key) const {
  return key < shape.sinks && position - shape.window + 1 > shape.sinks;
}

template <class T>
bool AttentionInputs<T>::sees(int sequence, int position, int key) const {
  if (key >= shape.contexts[size_t(sequence)] || (shape.causal && key > position)) return false;
  return shape.window == 0 || key > position - shape.window || key < shape.sinks ||
         (shape.sinks > 0 && position - shape.window + 1 <= shape.sinks);
}

template <class T>
std::vector<unsigned char> AttentionInputs<T>::results() const {
  auto bytes = output->bytes(), more = log_sums->bytes();
  bytes.insert(bytes.end(), more.begin(), more.end());
  return bytes;
}

template <class T>
AttentionArguments AttentionInputs<T>::arguments() {
  AttentionArguments a = {};
  a.type = element_type<T>;
  a.sequences = int(shape.queries.size());
  a.query_heads = shape.query_heads;
  a.key_heads = shape.key_heads;
  a.head_dimension = shape.dimension;
  for (int count : shape.queries) a.max_queries = std::max(a.max_queries, count);
  for (int context : shape.contexts) a.max_context = std::max(a.max_context, context);
  a.tokens = tokens;
  a.query = query->data() + shape.offset;
  a.query_stride = shape.padding > 0 ? query_step : 0;
  a.output = output->data() + shape.offset;
  a.cache = cache->data() + shape.offset;
  a.block_tables = block_tables->data();
  a.table_stride = table_stride;
  a.query_starts = query_starts->data();
  a.context_lengths = contexts->data();
  a.scale = 1.0f / std::sqrt(float(shape.dimension));
  a.softcap = shape.softcap;
  a.window = shape.window;
  a.causal = shape.causal;
  a.alibi_slopes = shape.alibi ? slopes->data() : nullptr;
  a.log_sums = log_sums->data();
  a.sink_logits = shape.sink_logits ? sink_logits->data() : nullptr;
  a.sinks = shape.sinks;
  a.sink_query = shape.sinks > 0 ? sink_query->data() + shape.offset : nullptr;
  a.sink_query_stride = a.query_stride;
  return a;
}

template <class T>
AttentionReference reference(AttentionInputs<T>& inputs) {
  const AttentionCase& c = inputs.shape;
  const size_t count = size_t(c.offset) + size_t(inputs.tokens) * size_t(c.query_heads) * size_t(c.dimension);
  AttentionReference result;
  result.output.assign(count, 0);
  result.bound.assign(count, 0);
  result.log_sums.assign(size_t(c.query_heads) * size_t(inputs.tokens), -INFINITY);
  const double scale = 1.0f / std::sqrt(float(c.dimension));
  for (size_t s = 0; s < c.queries.size(); ++s) {
    for (int r = 0; r < c.queries[s]; ++r) {
      const int position = c.contexts[s] - c.queries[s] + r;
      for (int head = 0; head < c.query_heads; ++head) {
        const int key_head = head / (c.query_heads / c.key_heads);
        const size_t token = size_t(inputs.starts[s] + r);
        const size_t start =
            size_t(c.offset) + (token * size_t(c.query_heads) + size_t(head)) * size_t(c.dimension);
        const size_t query_start =
            size_t(c.offset) + token * size_t(inputs.query_step) + size_t(head * c.dimension);
        std::vector<double> scores;
        std::vector<int> keys;
        double largest = -INFINITY;
        for (int key = 0; key < c.contexts[s]; ++key) {
          if (!inputs.sees(int(s), position, key)) continue;
          const bool as_sink = inputs.meets_as_sink(position, key);
          DeviceArray<T>& query = as_sink ? *inputs.sink_query : *inputs.query;
          const int place = as_sink ? c.sinks + c.window - 1 : position;
          double dot = 0;
          for (int i = 0; i < c.dimension; ++i) {
            dot += double(to_float(query[query_start + size_t(i)])) *
                   to_float(inputs.cache_element(int(s), key, 0, key_head, i));
          }
          double score = dot * scale;
          if (c.softcap > 0) score = c.softcap * std::tanh(score / c.softcap);
          if (c.alibi) score += double((*inputs.slopes)[size_t(head)]) * (key - place);
          scores.push_back(score);
          keys.push_back(key);
          largest = std::max(largest, score);
        }
        const double sink = c.sink_logits ? double((*inputs.sink_logits)[size_t(head)]) : -INFINITY;
        if (keys.empty() && !c.sink_logits) continue;
        largest = std::max(largest, sink);
        double sum = std::exp(sink - largest);
        for (double& score : scores) sum += score = std::exp(score - largest);
        result.log_sums[size_t(head) * size_t(inputs.tokens) + token] = largest + std::log(sum);
        // The weights are rounded to T before they are multiplied, and the output once more. Scores in float
        // are off by about 1e-5, those through the approximate tanh by softcap · 2^-11.
        const double weight_error = rounding<T> + 2e-5 + 2 * c.softcap * 0x1p-11;
        for (int i = 0; i < c.dimension; ++i) {
          double output = 0, magnitude = 0;
          for (size_t k = 0; k < keys.size(); ++k) {
            double term = scores[k] / sum * to_float(inputs.cache_element(int(s), keys[k], 1, key_head, i));
            output += term;
            magnitude += std::abs(term);
          }
          result.output[start + size_t(i)] = output;
          result.bound[start + size_t(i)] = rounding<T> * std::abs(output) + weight_error * magnitude + 1e-6;
        }
      }
    }
  }
  return result;
}

template struct AttentionInputs<bf16>;
template struct AttentionInputs<f16>;
template AttentionReference reference(AttentionInputs<bf16>&);
template AttentionReference reference(AttentionInputs<f16>&);

}  // namespace gpu::test
