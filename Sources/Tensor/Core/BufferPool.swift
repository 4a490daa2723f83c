import Foundation
import Synchronization

/// Recycles 64-byte aligned float buffers, so that a steady-state training step takes no storage from the system.
///
/// Large requests are cut from an arena. Small ones are rounded up to one of eight classes per power of two (at most
/// 12.5 % waste) and served from the class's free list: their number is large and their sum is not.
public final class BufferPool: Sendable {
  /// The pool that every tensor uses.
  public static let shared = BufferPool()

  /// What the pool has done so far; the difference between two steps is what the metrics log.
  public struct Statistics: Sendable, Equatable {
    /// How often the pool took storage from the system.
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
    // Twice the machine's memory: what does not fit runs out of memory, not of addresses.
    var arena = BufferArena(capacity: Int(min(2 * ProcessInfo.processInfo.physicalMemory, 1 << 45)))
  }

  /// Requests from here on come from the arena.
  static let largeBytes = 1 << 18

  private let state = Mutex(State())

  /// The number of bytes that a small request of `bytes` occupies.
  public static func sizeClass(_ bytes: Int) -> Int {
    guard bytes > 512 else { return 512 }
    let exponent = Int.bitWidth - 1 - (bytes - 1).leadingZeroBitCount
    let step = max(64, 1 << (exponent - 3))
    return (bytes + step - 1) / step * step
  }

  public var statistics: Statistics { state.withLock { $0.statistics } }

  private static func occupied(_ bytes: Int) -> Int {
    bytes < largeBytes ? sizeClass(bytes) : BufferArena.size(bytes)
  }

  /// Returns a buffer of at least `bytes` bytes, uninitialized.
  func take(_ bytes: Int) -> UnsafeMutableRawPointer {
    let size = BufferPool.occupied(bytes)
    let address: UInt? = state.withLock {
      $0.statistics.usedBytes += size
      $0.statistics.peakUsedBytes = max($0.statistics.peakUsedBytes, $0.statistics.usedBytes)
      guard bytes >= BufferPool.largeBytes else { return $0.free[size]?.popLast() }
      let before = $0.arena.grown
      guard let (address, grew) = $0.arena.take(bytes) else { return nil }
      if grew {
        $0.statistics.systemAllocations += 1
        $0.statistics.reservedBytes += $0.arena.grown - before
      }
      return UInt(bitPattern: address)
    }
    if let address { return UnsafeMutableRawPointer(bitPattern: address)! }
    var raw: UnsafeMutableRawPointer?
    guard bytes < BufferPool.largeBytes, posix_memalign(&raw, 64, size) == 0, let raw else {
      MemoryLimit.stop("\(size) bytes for one buffer")
    }
    state.withLock {
      $0.statistics.systemAllocations += 1
      $0.statistics.reservedBytes += size
    }
    return raw
  }

  /// Gives a buffer of a request of `bytes` bytes back.
  func give(_ pointer: UnsafeMutableRawPointer, _ bytes: Int) {
    let size = BufferPool.occupied(bytes)
    let address = UInt(bitPattern: pointer)
    state.withLock {
      $0.statistics.usedBytes -= size
      if bytes < BufferPool.largeBytes {
        $0.free[size, default: []].append(address)
      } else {
        $0.arena.give(UnsafeMutableRawPointer(bitPattern: address)!, bytes)
      }
    }
  }
}

/// One pooled buffer of floats; returns to the pool when the last tensor over it is gone.
package final class Storage: @unchecked Sendable {
  public let pointer: UnsafeMutablePointer<Float>
  public let count: Int

  /// An uninitialized buffer of `count` floats.
  public init(count: Int) {
    self.count = count
    pointer = BufferPool.shared.take(max(count, 1) * 4).assumingMemoryBound(to: Float.self)
  }

  deinit { BufferPool.shared.give(UnsafeMutableRawPointer(pointer), max(count, 1) * 4) }
}
