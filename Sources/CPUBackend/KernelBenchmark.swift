internal import CCPUBackend
package import Compute
internal import Glibc
package import Numerics

/// Times operations on the CPU with the shapes of real models. Each figure is the best of several repetitions: the
/// others show what else the machine was doing.
package struct KernelBenchmark {
  package let backend: CPUBackend
  /// How long one figure may take, after its memory has been filled.
  package var budget: Double
  /// Bytes of weights used in turn, so that each product finds its own out of cache.
  package var workingSet: Int

  package init(backend: CPUBackend, budget: Double = 0.5, workingSet: Int = 1 << 28) {
    self.backend = backend
    self.budget = budget
    self.workingSet = workingSet
  }

  /// A plain read of the working set with all threads: the bound for every other figure's bytes.
  package func memoryRead() throws(KernelError) -> KernelMeasurement {
    let bytes = max(workingSet, 1 << 20)
    let storage = try filled(bytes)
    let seconds = try best { () throws(KernelError) in
      _ = unsafe gpi_read_memory(backend.context, storage.address, bytes)
    }
    return KernelMeasurement(
      operation: "read memory", shape: "\(bytes >> 20) MiB", seconds: seconds, bytes: bytes, operations: 0)
  }

  /// `rows` inputs times weights that are not in any cache.
  package func linear(
    rows: Int, inputs: Int, outputs: Int, type: DataType
  ) throws(KernelError) -> KernelMeasurement {
    try linear(rows: rows, name: type.rawValue, bytes: inputs * outputs * type.byteCount) { storage, offset in
      LinearWeight(
        dense: Tensor(storage: storage, byteOffset: offset, shape: Shape(outputs, inputs), dataType: type))
    }
  }

  /// The same with integer codes in groups, a float16 scale each.
  package func linear(
    rows: Int, inputs: Int, outputs: Int, bits: Int, groupSize: Int, activations: IntegerActivations? = nil
  ) throws(KernelError) -> KernelMeasurement {
    let width = PackedCodes.wordCount(inputs, bits: bits)
    let (codeBytes, scaleBytes) = (outputs * width * 4, outputs * (inputs / groupSize) * 2)
    let rounding = activations == nil ? "" : " with int8 activations"
    return try linear(
      rows: rows, name: "int\(bits) g\(groupSize)\(rounding)", bytes: codeBytes + scaleBytes
    ) { storage, offset throws(StoreError) in
      let weight = try IntegerWeight(
        outputs: outputs, inputs: inputs, bits: bits, groupSize: groupSize,
        codes: Tensor(storage: storage, byteOffset: offset, shape: Shape(outputs, width), dataType: .int32),
        scales: Tensor(
          storage: storage, byteOffset: offset + codeBytes, shape: Shape(outputs, inputs / groupSize),
          dataType: .float16), activations: activations)
      return try LinearWeight(.integer(weight))
    }
  }

  /// The same with GGUF blocks.
  package func linear(
    rows: Int, inputs: Int, outputs: Int, blocks type: GGMLType
  ) throws(KernelError) -> KernelMeasurement {
    let rowBytes = inputs / type.blockElements * type.blockBytes
    return try linear(rows: rows, name: type.name, bytes: outputs * rowBytes) {
      storage, offset throws(StoreError) in
      let blocks = Tensor(
        storage: storage, byteOffset: offset, shape: Shape(outputs, rowBytes), dataType: .uint8)
      return try LinearWeight(
        .blocks(try BlockWeight(outputs: outputs, inputs: inputs, type: type, blocks: blocks)))
    }
  }

  /// The same with two of every four weights kept: 9 bits a weight.
  package func linear(
    rows: Int, inputs: Int, outputs: Int, twoOfFour type: DataType
  ) throws(KernelError) -> KernelMeasurement {
    let (kept, width) = (outputs * inputs / 2, (inputs + 7) / 8)
    let valueBytes = kept * type.byteCount
    return try linear(rows: rows, name: "2:4 \(type.rawValue)", bytes: valueBytes + outputs * width) {
      storage, offset throws(StoreError) in
      // What memory is filled with is a mask that keeps two of four.
      let weight = try SparseWeight(
        outputs: outputs, inputs: inputs,
        mask: Tensor(
          storage: storage, byteOffset: offset + valueBytes, shape: Shape(outputs, width), dataType: .uint8),
        pattern: .twoOfFour,
        values: .floats(
          Tensor(storage: storage, byteOffset: offset, shape: Shape(outputs, inputs / 2), dataType: type)))
      return try LinearWeight(.sparse(weight))
    }
  }

  private func linear(
    rows: Int, name: String, bytes: Int,
    make: (_ storage: Storage, _ byteOffset: Int) throws(StoreError) -> LinearWeight
  ) throws(KernelError) -> KernelMeasurement {
    let copies = max(1, workingSet / bytes)
    let storage = try filled(bytes * copies)
    var weights: [LinearWeight] = []
    do throws(StoreError) {
      for copy in 0..<copies { weights.append(try make(storage, copy * bytes)) }
    } catch { throw .unsupported(operation: "benchmark", reason: "\(error)") }
    let (inputs, outputs) = (weights[0].inputs, weights[0].outputs)
    let (inputStorage, outputStorage) = (try filled(rows * inputs * 4), try filled(rows * outputs * 4))
    let input = Tensor(storage: inputStorage, shape: Shape(rows, inputs), dataType: .float32)
    let output = Tensor(storage: outputStorage, shape: Shape(rows, outputs), dataType: .float32)
    var next = 0
    let seconds = try best { () throws(KernelError) in
      try backend.linear(input.view, weights[next % copies], accumulate: false, into: output.view)
      next += 1
    }
    return KernelMeasurement(
      operation: "linear", shape: "\(rows) x \(inputs) -> \(outputs) \(name)", seconds: seconds,
      bytes: bytes, operations: 2 * rows * inputs * outputs)
  }

  /// Repeats until the budget is spent, at least twice; the first call also fills caches and scratch memory.
  private func best(_ body: () throws(KernelError) -> Void) throws(KernelError) -> Double {
    var best = Double.infinity
    var spent = 0.0
    for round in 0..<1000 where round < 2 || spent < budget {
      let start = Self.now
      try body()
      let taken = Self.now - start
      best = min(best, taken)
      spent += taken
    }
    return best
  }

  private static var now: Double {
    var time = timespec()
    unsafe clock_gettime(CLOCK_MONOTONIC, &time)
    return Double(time.tv_sec) + Double(time.tv_nsec) * 1e-9
  }

  /// Bytes that are small numbers in every element type, each page written so that it is real memory.
  func filled(_ byteCount: Int) throws(KernelError) -> Storage {
    let storage = try backend.allocate(byteCount: byteCount)
    unsafe memset(storage.address, 0x3C, byteCount)
    return storage
  }
}
