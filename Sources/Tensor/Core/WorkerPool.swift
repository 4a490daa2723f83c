import CBLAS
import CKernels
import Foundation
import Synchronization

/// The one pool of worker threads. Work is a numbered list of tiles; which thread takes a tile depends on
/// timing, what a tile computes never does.
///
/// Workers spin briefly between regions (operations follow each other within microseconds) and then sleep. A
/// region does not wait for a sleeping worker: whoever is awake takes the tiles.
public final class WorkerPool: @unchecked Sendable {
  /// Threads that compute, the calling one included.
  public let threads: Int

  /// High 32 bits: the region's number; low 32 bits: the next tile. Claiming is one compare-and-swap, so a late
  /// worker can never take a tile of a region that is already over.
  private let ticket = Atomic<UInt64>(0)
  private let completed = Atomic<Int>(0)
  private let sleepers = Atomic<Int>(0)
  private let stopping = Atomic<Bool>(false)
  private let condition = NSCondition()
  private let tileCount = Atomic<Int>(0)
  // Written before the ticket is published, read only after a tile was claimed.
  private var body: UnsafeRawPointer?
  private var workers: [Thread] = []
  private let alive: DispatchGroup = DispatchGroup()
  /// Called by the thread that runs a region, between the tiles that it takes itself and while it waits for others.
  var progress: (() -> Void)?

  private typealias Body = (_ tile: Int, _ worker: Int) -> Void

  public init(threads: Int) {
    self.threads = max(1, threads)
    mmoe_blas_enter_thread()
    for index in 1..<max(self.threads, 1) {
      alive.enter()
      let thread = Thread { [unowned self] in
        WorkerPool.blockSignals()
        mmoe_blas_enter_thread()
        self.work(index)
        self.alive.leave()
      }
      thread.name = "mmoe-worker-\(index)"
      thread.stackSize = 4 << 20
      workers.append(thread)
      thread.start()
    }
  }

  /// Stops and joins the workers. Called by the owner before it lets go of the pool.
  func shutDown() {
    stopping.store(true, ordering: .sequentiallyConsistent)
    condition.lock()
    condition.broadcast()
    condition.unlock()
    alive.wait()
  }

  /// Runs `body(tile, worker)` for every tile in `0..<count` and returns when all are done. Must be called
  /// from one thread at a time and not from within a tile.
  public func run(_ count: Int, _ body: (_ tile: Int, _ worker: Int) -> Void) {
    guard threads > 1, count > 1 else {
      for tile in 0..<count {
        body(tile, 0)
        progress?()
      }
      return
    }
    withoutActuallyEscaping(body) { escaping in
      var closure: Body = escaping
      withUnsafePointer(to: &closure) { pointer in
        let last = ticket.load(ordering: .relaxed) >> 32
        // Closed while the region is written: a worker that still holds the last region's ticket must fail to
        // exchange it, or it would take a tile by the old ticket and the new count.
        ticket.store(last << 32 | 0xFFFF_FFFF, ordering: .sequentiallyConsistent)
        tileCount.store(count, ordering: .relaxed)
        self.body = UnsafeRawPointer(pointer)
        completed.store(0, ordering: .relaxed)
        let region = last &+ 1
        ticket.store(region << 32, ordering: .sequentiallyConsistent)
        if sleepers.load(ordering: .sequentiallyConsistent) > 0 {
          condition.lock()
          condition.broadcast()
          condition.unlock()
        }
        claimTiles(of: region, worker: 0)
        var spins = 0
        while completed.load(ordering: .acquiring) < count {
          mmoe_spin_pause()
          spins += 1
          if spins > 20_000 {
            progress?()
            sched_yield()
            spins = 0
          }
        }
      }
    }
  }

  /// Takes tiles of one region until none is left.
  private func claimTiles(of region: UInt64, worker: Int) {
    while true {
      let current = ticket.load(ordering: .acquiring)
      guard current >> 32 == region else { return }
      let tile = Int(current & 0xFFFF_FFFF)
      // A stale count is harmless: the exchange below fails when the region is closed or has moved on.
      guard tile < tileCount.load(ordering: .relaxed) else { return }
      guard
        ticket.compareExchange(
          expected: current, desired: current + 1, ordering: .acquiringAndReleasing
        ).exchanged
      else { continue }
      WorkerPool.call(body!, tile, worker)
      completed.add(1, ordering: .releasing)
      if worker == 0 { progress?() }
    }
  }

  /// Never inlined: the closure's retain and release must both lie before the tile counts as completed, because the
  /// region's owner checks, once all are, that nobody holds the closure any more.
  @inline(never)
  private static func call(_ body: UnsafeRawPointer, _ tile: Int, _ worker: Int) {
    body.assumingMemoryBound(to: Body.self).pointee(tile, worker)
  }

  /// Lets no handler run on the calling thread's stack: oneDNN's products move the stack register into the heap, where
  /// a signal's frame would overwrite other data. Faults stay, since they end the process.
  private static func blockSignals() {
    var signals = sigset_t()
    sigfillset(&signals)
    for fault in [SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGTRAP, SIGABRT] { sigdelset(&signals, fault) }
    pthread_sigmask(SIG_BLOCK, &signals, nil)
  }

  private func work(_ index: Int) {
    var seen: UInt64 = 0
    while true {
      var spins = 0
      while ticket.load(ordering: .acquiring) >> 32 == seen {
        if stopping.load(ordering: .relaxed) { return }
        mmoe_spin_pause()
        spins += 1
        if spins > 6_000 {
          condition.lock()
          sleepers.add(1, ordering: .sequentiallyConsistent)
          while ticket.load(ordering: .sequentiallyConsistent) >> 32 == seen,
            !stopping.load(ordering: .relaxed)
          {
            condition.wait()
          }
          sleepers.subtract(1, ordering: .sequentiallyConsistent)
          condition.unlock()
          spins = 0
        }
      }
      seen = ticket.load(ordering: .acquiring) >> 32
      claimTiles(of: seen, worker: index)
    }
  }
}
