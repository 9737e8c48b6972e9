internal import Compute
internal import Numerics

/// Moves of packed words between the layouts of formats.
enum WordLayouts {
  /// `[rows, columns]` of 4- or 2-byte elements as `[columns, rows]`, in square tiles so that both sides stay in cache.
  static func transposed(_ tensor: Tensor) -> Tensor {
    let (rows, columns) = (tensor.shape[0], tensor.shape[1])
    let source = tensor.view
    return unsafe HostTensor.make(tensor.dataType, Shape(columns, rows)) { bytes in
      guard let target = bytes.baseAddress else { return }
      switch tensor.dataType.byteCount {
      case 1: unsafe transpose(source.address, rows, columns, target, UInt8.self)
      case 2: unsafe transpose(source.address, rows, columns, target, UInt16.self)
      default: unsafe transpose(source.address, rows, columns, target, UInt32.self)
      }
    }
  }

  private static func transpose<Bits: FixedWidthInteger>(
    _ source: UnsafeRawPointer, _ rows: Int, _ columns: Int, _ target: UnsafeMutableRawPointer,
    _ type: Bits.Type
  ) {
    let source = unsafe source.assumingMemoryBound(to: type)
    let target = unsafe target.bindMemory(to: type, capacity: rows * columns)
    let tile = 32
    for rowStart in stride(from: 0, to: rows, by: tile) {
      for columnStart in stride(from: 0, to: columns, by: tile) {
        for row in rowStart..<min(rowStart + tile, rows) {
          for column in columnStart..<min(columnStart + tile, columns) {
            unsafe target[column * rows + row] = source[row * columns + column]
          }
        }
      }
    }
  }

  /// Rows of packed codes as bytes: int32 `[rows, words]` to uint8 `[rows, count]`, each code plus `offset` modulo `2^bits`.
  static func unpacked(_ words: Tensor, bits: Int, count: Int, adding offset: UInt8 = 0) -> Tensor {
    let (rows, width) = (words.shape[0], words.shape[1])
    let source = unsafe words.view.address.assumingMemoryBound(to: UInt32.self)
    return unsafe HostTensor.make(.uint8, Shape(rows, count)) { bytes in
      let target = unsafe bytes.bindMemory(to: UInt8.self)
      for row in 0..<rows {
        let line = unsafe UnsafeMutableBufferPointer(rebasing: target[row * count..<(row + 1) * count])
        unsafe PackedCodes.unpack(source + row * width, bits: bits, into: line)
        if offset != 0 {
          let mask = UInt8((1 << bits) - 1)
          for index in 0..<count { unsafe line[index] = (line[index] &+ offset) & mask }
        }
      }
    }
  }

  /// uint8 `[rows, count]` to int32 words, each code plus `offset` modulo `2^bits`.
  static func packed(_ codes: Tensor, bits: Int, adding offset: UInt8 = 0) -> Tensor {
    let (rows, count) = (codes.shape[0], codes.shape[1])
    let width = PackedCodes.wordCount(count, bits: bits)
    let source = unsafe codes.view.address.assumingMemoryBound(to: UInt8.self)
    let mask = UInt8((1 << bits) - 1)
    return unsafe HostTensor.make(.int32, Shape(rows, width)) { bytes in
      guard let target = unsafe bytes.bindMemory(to: UInt32.self).baseAddress else { return }
      var line = [UInt8](repeating: 0, count: count)
      for row in 0..<rows {
        for index in 0..<count { unsafe line[index] = (source[row * count + index] &+ offset) & mask }
        unsafe line.withUnsafeBufferPointer {
          unsafe PackedCodes.pack($0, bits: bits, into: target + row * width)
        }
      }
    }
  }

  /// int8 `[rows, count]` as unsigned codes in words: `value + 2^(bits − 1)`.
  ///
  /// - Returns: nil where a value has no code of `bits` bits.
  static func packed(signed values: Tensor, bits: Int) -> Tensor? {
    let (rows, count) = (values.shape[0], values.shape[1])
    let source = unsafe values.view.address.assumingMemoryBound(to: Int8.self)
    let half = 1 << (bits - 1)
    let codes = HostTensor.copy([UInt8](repeating: 0, count: rows * count), .uint8, values.shape)
    let target = unsafe codes.view.address.assumingMemoryBound(to: UInt8.self)
    var fits = true
    for index in 0..<rows * count {
      let code = unsafe Int(source[index]) + half
      fits = fits && code >= 0 && code < 2 * half
      unsafe target[index] = UInt8(truncatingIfNeeded: code)
    }
    return fits ? packed(codes, bits: bits) : nil
  }

  /// The rows of a byte matrix swapped with its columns, and back: what AWQ's nibbles do within eight.
  ///
  ///     qweight [K, N / 8]: nibble i of word c is output 8c + order[i]
  static let awqOrder = [0, 2, 4, 6, 1, 3, 5, 7]

  /// AWQ's `[K, N / 8]` to `[N, ceil(K / 8)]`, codes of a row along K.
  static func rowsFromAWQ(_ words: Tensor) -> Tensor {
    let (inputs, columns) = (words.shape[0], words.shape[1])
    let width = PackedCodes.wordCount(inputs, bits: 4)
    let source = unsafe words.view.address.assumingMemoryBound(to: UInt32.self)
    return unsafe HostTensor.make(.int32, Shape(columns * 8, width)) { bytes in
      guard let target = unsafe bytes.bindMemory(to: UInt32.self).baseAddress else { return }
      for word in 0..<width {
        for column in 0..<columns {
          var rows = InlineArray<8, UInt32>(repeating: 0)
          for j in 0..<min(8, inputs - word * 8) {
            let packed = unsafe source[(word * 8 + j) * columns + column]
            for i in 0..<8 { rows[awqOrder[i]] |= (packed >> UInt32(4 * i) & 15) << UInt32(4 * j) }
          }
          for n in 0..<8 { unsafe target[(column * 8 + n) * width + word] = rows[n] }
        }
      }
    }
  }

  /// The inverse.
  static func awqFromRows(_ words: Tensor, inputs: Int) -> Tensor {
    let (outputs, width) = (words.shape[0], words.shape[1])
    let columns = outputs / 8
    let source = unsafe words.view.address.assumingMemoryBound(to: UInt32.self)
    return unsafe HostTensor.make(.int32, Shape(inputs, columns)) { bytes in
      guard let target = unsafe bytes.bindMemory(to: UInt32.self).baseAddress else { return }
      for word in 0..<width {
        for column in 0..<columns {
          var rows = InlineArray<8, UInt32>(repeating: 0)
          for n in 0..<8 { rows[n] = unsafe source[(column * 8 + n) * width + word] }
          for j in 0..<min(8, inputs - word * 8) {
            var packed: UInt32 = 0
            for i in 0..<8 { packed |= (rows[awqOrder[i]] >> UInt32(4 * j) & 15) << UInt32(4 * i) }
            unsafe target[(word * 8 + j) * columns + column] = packed
          }
        }
      }
    }
  }
}
