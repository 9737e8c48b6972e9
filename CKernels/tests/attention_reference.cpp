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
  cache = std::make_unique<DeviceArray<T>>("cache", size_t(pages) * 2 * size_t(row) * kv_block_tokens);
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
            (*cache)[place_in_cache(block, part, c.key_heads, head, position % kv_block_tokens, c.dimension,
                                    i)] = values[size_t(i)];
          }
        }
      }
    }
  }
  const size_t count = size_t(tokens) * size_t(c.query_heads) * size_t(c.dimension);
  query = std::make_unique<DeviceArray<T>>("query", random_values<T>(count, 12, 2.0f));
  output = std::make_unique<DeviceArray<T>>("output", count);
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
  sinks = std::make_unique<DeviceArray<float>>("sinks", sink_values);
  log_sums = std::make_unique<DeviceArray<float>>("log sums", size_t(c.query_heads) * size_t(tokens));
}

template <class T>
T& AttentionInputs<T>::cache_element(int sequence, int position, int part, int key_head, int i) {
  int block = tables[size_t(sequence * table_stride + position / kv_block_tokens)];
  return (*cache)[place_in_cache(block, part, shape.key_heads, key_head, position % kv_block_tokens,
                                 shape.dimension, i)];
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
  a.query = query->data();
  a.output = output->data();
  a.cache = cache->data();
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
  a.sinks = shape.sinks ? sinks->data() : nullptr;
  return a;
}

template <class T>
AttentionReference reference(AttentionInputs<T>& inputs) {
  const AttentionCase& c = inputs.shape;
  const size_t count = size_t(inputs.tokens) * size_t(c.query_heads) * size_t(c.dimension);
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
        const size_t start = (token * size_t(c.query_heads) + size_t(head)) * size_t(c.dimension);
        std::vector<double> scores;
        std::vector<int> keys;
        double largest = -INFINITY;
        for (int key = 0; key < c.contexts[s]; ++key) {
          if (c.causal && key > position) continue;
          if (c.window > 0 && key <= position - c.window) continue;
          double dot = 0;
          for (int i = 0; i < c.dimension; ++i) {
            dot += double(to_float((*inputs.query)[start + size_t(i)])) *
                   to_float(inputs.cache_element(int(s), key, 0, key_head, i));
          }
          double score = dot * scale;
          if (c.softcap > 0) score = c.softcap * std::tanh(score / c.softcap);
          if (c.alibi) score += double((*inputs.slopes)[size_t(head)]) * (key - position);
          scores.push_back(score);
          keys.push_back(key);
          largest = std::max(largest, score);
        }
        const double sink = c.sinks ? double((*inputs.sinks)[size_t(head)]) : -INFINITY;
        if (keys.empty() && !c.sinks) continue;
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
