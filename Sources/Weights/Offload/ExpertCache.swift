import CMemory
import Foundation
import MMoEFiles
import MMoEModels
import MMoEReport
import MMoETensor
import MMoETrain

/// MADV_NOHUGEPAGE, which the C library guards by a feature macro.
private let noHugePages: Int32 = 15

/// When experts are read (arXiv 2404.05019, appendix A.3).
package enum OffloadMode: String, CaseIterable, Sendable {
  /// All experts are in memory.
  case none
  /// At the moment they are needed.
  case blocking
  /// From the moment the gate has chosen: a shortcut's dense computation hides the reading.
  case async
}

/// Experts that stay in the checkpoint and are read as they are chosen; the least recently used ones make room.
///
/// Their parameters have addresses for all experts, of which only the resident ones have memory behind them. An expert
/// that a route waits for is never dropped, so a text's beginning, which may need more experts of one layer than the
/// cache holds, takes more memory for as long as that layer computes.
package final class ExpertCache: @unchecked Sendable {
  fileprivate struct Key: Hashable {
    let bank: String
    let expert: Int
  }

  private struct Entry {
    var isReady = false
    var pins = 0
    var lastUse = 0
  }

  /// The experts of one call of a layer, from the gate's choice until they have computed.
  final class Request {
    fileprivate let keys: [Key]
    fileprivate let began = monotonicSeconds()
    /// Missing when the gate chose, and when the last of them had been read.
    fileprivate var missing = 0
    fileprivate var ended: Double?

    fileprivate init(_ keys: [Key]) { self.keys = keys }
  }

  private let mode: OffloadMode
  private let capacity: Int
  private let file: ExpertFile
  private let places: [String: [ExpertPlace]]
  private let condition = NSCondition()
  private var entries: [Key: Entry] = [:]
  private var queue: [(key: Key, request: Request)] = []
  private var clock = 0
  private var isClosed = false
  package private(set) var report: OffloadReport
  private var failed: Key?

  /// - Parameter capacity: experts in memory, of all banks together.
  init(_ mode: OffloadMode, capacity: Int, places: [String: [ExpertPlace]], file: ExpertFile) {
    self.mode = mode
    self.capacity = capacity
    self.places = places
    self.file = file
    let all = places.values.joined()
    report = OffloadReport(
      mode: mode, capacity: capacity, experts: all.count,
      expertBytes: all.reduce(0) { $0 + $1.bytes } / max(all.count, 1), isDirect: file.isDirect)
    // Huge pages would keep parts of dropped experts alive.
    for place in all { for slice in place.slices { madvise(aligned(slice).0, aligned(slice).1, noHugePages) } }
    if mode == .async { Thread { [weak self] in ExpertCache.work { self } }.start() }
  }

  /// Ends the reading thread.
  package func close() {
    condition.withLock {
      isClosed = true
      condition.broadcast()
    }
  }

  /// The first expert that could not be read.
  ///
  /// - Throws: `WeightsError` naming it.
  package func check() throws {
    guard let failed = condition.withLock({ failed }) else { return }
    throw WeightsError(
      "\(file.path)", found: "\(failed.bank) \(failed.expert) could not be read",
      remedy: "the file was changed or the disk fails; use another copy")
  }

  /// The gate has chosen: starts the reading, in the mode `async`.
  func begin(_ bank: String, _ experts: [Int]) -> Request {
    let request = Request(experts.map { Key(bank: bank, expert: $0) })
    condition.withLock {
      // Those that are there first: none of them must make room for the others.
      let present = request.keys.filter { entries[$0] != nil }
      report.hits += present.count
      for key in present { entries[key]!.pins += 1 }
      for key in request.keys where entries[key] == nil {
        request.missing += 1
        report.misses += 1
        makeRoom(for: key)
        entries[key] = Entry(pins: 1)
        queue.append((key, request))
      }
      for key in request.keys {
        clock += 1
        entries[key]!.lastUse = clock
      }
      report.residentPeak = max(report.residentPeak, entries.count)
      condition.broadcast()
    }
    return request
  }

  /// Waits until all experts of the request are in memory.
  func end(_ request: Request) {
    let needed = monotonicSeconds()
    if mode == .blocking {
      while let next = condition.withLock({ takeFirst { request.keys.contains($0) } }) { load(next) }
    }
    condition.withLock {
      while !request.keys.allSatisfy({ entries[$0]!.isReady }) { condition.wait() }
      guard request.missing > 0, let ended = request.ended else { return }
      let start = mode == .async ? request.began : needed
      report.add(window: needed - request.began, load: max(0, ended - start), waited: monotonicSeconds() - needed)
    }
  }

  /// The experts have computed and may be dropped.
  func release(_ request: Request) {
    condition.withLock { for key in request.keys { entries[key]!.pins -= 1 } }
  }

  // MARK: Reading

  private static func work(_ cache: () -> ExpertCache?) {
    while let cache = cache() {
      let next = cache.condition.withLock { () -> (key: Key, request: Request)? in
        // Looks up now and then, so that a cache that nobody has can go.
        if cache.queue.isEmpty && !cache.isClosed { _ = cache.condition.wait(until: Date(timeIntervalSinceNow: 0.2)) }
        return cache.isClosed ? nil : cache.takeFirst { _ in true }
      }
      if let next { cache.load(next) } else if cache.isClosed { return }
    }
  }

  /// To be called under the lock.
  private func takeFirst(_ isWanted: (Key) -> Bool) -> (key: Key, request: Request)? {
    queue.firstIndex { isWanted($0.key) }.map { queue.remove(at: $0) }
  }

  private func load(_ job: (key: Key, request: Request)) {
    let began = monotonicSeconds()
    let isWhole = file.read(places[job.key.bank]![job.key.expert])
    let ended = monotonicSeconds()
    condition.withLock {
      report.readSeconds += ended - began
      if !isWhole && failed == nil { failed = job.key }
      entries[job.key]!.isReady = true
      job.request.ended = ended
      condition.broadcast()
    }
  }

  /// Drops the least recently used experts until this one fits. To be called under the lock.
  ///
  /// The first one's pages become the new one's: pages that the system had to find and to clear would take computing
  /// time from the very window that is to hide the reading.
  private func makeRoom(for key: Key) {
    var target: ExpertPlace? = places[key.bank]![key.expert]
    while entries.count >= capacity {
      let idle = entries.filter { $0.value.pins == 0 && $0.value.isReady }
      guard let oldest = idle.min(by: { $0.value.lastUse < $1.value.lastUse })?.key else { return }
      entries[oldest] = nil
      let place = places[oldest.bank]![oldest.expert]
      if let wanted = target, move(place, to: wanted) {
        target = nil
      } else {
        for slice in place.slices { madvise(aligned(slice).0, aligned(slice).1, MADV_DONTNEED) }
      }
    }
  }

  /// Gives one expert's whole pages to another that lies alike on them.
  ///
  /// - Returns: whether all were given; else some may have been.
  private func move(_ old: ExpertPlace, to new: ExpertPlace) -> Bool {
    guard old.slices.count == new.slices.count else { return false }
    return zip(old.slices, new.slices).allSatisfy { from, to in
      let (address, bytes) = aligned(from)
      let isAlike = from.bytes == to.bytes && (from.target - to.target) % 4096 == 0
      return isAlike && (bytes == 0 || mmoe_move_pages(address, aligned(to).0, bytes))
    }
  }

  /// The whole pages of a slice.
  private func aligned(_ slice: ExpertPlace.Slice) -> (UnsafeMutableRawPointer, Int) {
    let start = (Int(bitPattern: slice.target) + 4095) / 4096 * 4096
    let end = (Int(bitPattern: slice.target) + slice.bytes) / 4096 * 4096
    return (UnsafeMutableRawPointer(bitPattern: start)!, max(0, end - start))
  }
}
