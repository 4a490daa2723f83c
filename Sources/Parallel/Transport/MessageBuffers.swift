import Foundation

/// Memory that stays where it is while MPI reads or writes it.
final class DoubleBuffer {
  let pointer: UnsafeMutablePointer<Double>
  let count: Int

  init(_ values: [Double]) {
    count = values.count
    pointer = .allocate(capacity: max(count, 1))
    pointer.initialize(repeating: 0, count: max(count, 1))
    for (i, value) in values.enumerated() { pointer[i] = value }
  }

  deinit { pointer.deallocate() }

  var values: [Double] { Array(UnsafeBufferPointer(start: pointer, count: count)) }
}

/// The same for integers.
final class IntegerBuffer {
  let pointer: UnsafeMutablePointer<Int32>
  let count: Int

  init(_ values: [Int32]) {
    count = values.count
    pointer = .allocate(capacity: max(count, 1))
    for (i, value) in values.enumerated() { pointer[i] = value }
  }

  deinit { pointer.deallocate() }

  var values: [Int32] { Array(UnsafeBufferPointer(start: pointer, count: count)) }
}

/// The same for bytes; zeros beyond those given.
final class ByteBuffer {
  let pointer: UnsafeMutableRawPointer
  let count: Int

  init(_ bytes: [UInt8], capacity: Int) {
    count = capacity
    pointer = .allocate(byteCount: max(capacity, 1), alignment: 64)
    pointer.initializeMemory(as: UInt8.self, repeating: 0, count: max(capacity, 1))
    for (i, byte) in bytes.prefix(capacity).enumerated() {
      pointer.storeBytes(of: byte, toByteOffset: i, as: UInt8.self)
    }
  }

  deinit { pointer.deallocate() }

  var bytes: [UInt8] { Array(UnsafeRawBufferPointer(start: pointer, count: count)) }
}

/// Lets others run where ranks outnumber cores.
func yieldProcessor() { sched_yield() }
