import Foundation
import Synchronization

/// MADV_HUGEPAGE, which the C library guards by a feature macro.
private let adviseHugePages: Int32 = 14

/// Recycles 64-byte aligned float buffers in size classes, so that a steady-state training step
/// takes no storage from the system.
///
/// A request is rounded up to one of eight classes per power of two (at most 12.5 % waste) and served from the
/// class's free list. Buffers of 1 MiB and more are aligned to 2 MiB and advised to use huge pages:
/// first-touch page faults are what makes the first steps slow.
public final class BufferPool: Sendable {
  /// The pool that every tensor uses.
  public static let shared = BufferPool()

  /// What the pool has done so far; the difference between two steps is what the metrics log.
  public struct Statistics: Sendable, Equatable {
    /// Buffers taken from the system since the start.
    public var systemAllocations = 0
    /// Bytes held by the pool, in use or free.
    public var reservedBytes = 0
    /// Bytes of buffers in use now.
    public var usedBytes = 0
    /// The largest `usedBytes` seen.
    public var peakUsedBytes = 0
  }

  private struct State: Sendable {
    var free: [Int: [UInt]] = [:]
    var statistics = Statistics()
  }

  private let state = Mutex(State())

  /// The number of bytes that a request of `bytes` occupies.
  public static func sizeClass(_ bytes: Int) -> Int {
    guard bytes > 512 else { return 512 }
    let exponent = Int.bitWidth - 1 - (bytes - 1).leadingZeroBitCount
    let step = max(64, 1 << (exponent - 3))
    return (bytes + step - 1) / step * step
  }

  public var statistics: Statistics { state.withLock { $0.statistics } }

  /// Returns a buffer of at least `bytes` bytes, uninitialised.
  func take(_ bytes: Int) -> UnsafeMutableRawPointer {
    let size = BufferPool.sizeClass(bytes)
    let address: UInt? = state.withLock {
      $0.statistics.usedBytes += size
      $0.statistics.peakUsedBytes = max($0.statistics.peakUsedBytes, $0.statistics.usedBytes)
      return $0.free[size]?.popLast()
    }
    if let address { return UnsafeMutableRawPointer(bitPattern: address)! }
    let huge = size >= 1 << 20
    var raw: UnsafeMutableRawPointer?
    let status = posix_memalign(&raw, huge ? 2 << 20 : 64, size)
    guard status == 0, let raw else {
      fatalError("out of memory: \(size) bytes for one buffer; lower the batch or the model size")
    }
    if huge { madvise(raw, size, adviseHugePages) }
    state.withLock {
      $0.statistics.systemAllocations += 1
      $0.statistics.reservedBytes += size
    }
    return raw
  }

  /// Gives a buffer of a request of `bytes` bytes back.
  func give(_ pointer: UnsafeMutableRawPointer, _ bytes: Int) {
    let size = BufferPool.sizeClass(bytes)
    state.withLock {
      $0.statistics.usedBytes -= size
      $0.free[size, default: []].append(UInt(bitPattern: pointer))
    }
  }
}

/// One pooled buffer of floats; returns to the pool when the last tensor over it is gone.
public final class Storage: @unchecked Sendable {
  public let pointer: UnsafeMutablePointer<Float>
  public let count: Int

  /// An uninitialised buffer of `count` floats.
  public init(count: Int) {
    self.count = count
    pointer = BufferPool.shared.take(max(count, 1) * 4).assumingMemoryBound(to: Float.self)
  }

  deinit { BufferPool.shared.give(UnsafeMutableRawPointer(pointer), max(count, 1) * 4) }
}
