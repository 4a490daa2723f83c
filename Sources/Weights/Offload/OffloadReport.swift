import MMoEReport
import MMoETensor

/// What offloading did during a run.
package struct OffloadReport: Sendable {
  package let mode: OffloadMode
  /// Experts that may be in memory, and all there are.
  package let capacity: Int
  package let experts: Int
  let expertBytes: Int
  /// Whether reads went past the page cache, or pages were dropped after them.
  let isDirect: Bool
  package var hits = 0
  var misses = 0
  /// Most experts that were in memory at once.
  var residentPeak = 0
  /// In reads, without queues.
  var readSeconds = 0.0
  /// Summed over calls that missed: from the choice to the read's end, what could have been hidden, what was.
  private var loadSeconds = 0.0
  private var coverableSeconds = 0.0
  private var hiddenSeconds = 0.0

  package init(mode: OffloadMode, capacity: Int, experts: Int, expertBytes: Int, isDirect: Bool) {
    self.mode = mode
    self.capacity = capacity
    self.experts = experts
    self.expertBytes = expertBytes
    self.isDirect = isDirect
  }

  /// One call of a layer that had to read.
  ///
  /// - Parameters: window: from the gate's choice until the experts were needed; load: the reading; waited: after that
  ///   moment. Seconds.
  package mutating func add(window: Double, load: Double, waited: Double) {
    loadSeconds += load
    coverableSeconds += min(window, load)
    hiddenSeconds += max(0, load - waited)
  }

  var hitRate: Double { Double(hits) / Double(max(hits + misses, 1)) }
  /// The part of the loading that the windows are long enough to cover: Σ min(window, load) / Σ load.
  var ceiling: Double { loadSeconds > 0 ? coverableSeconds / loadSeconds : 1 }
  /// The part that was covered.
  package var hidden: Double { loadSeconds > 0 ? min(hiddenSeconds / loadSeconds, 1) : 1 }

  /// For people.
  package var lines: [String] {
    func percent(_ share: Double) -> String { HumanFormat.fixed(100 * share, 1) + " %" }
    let rate = Double(misses * expertBytes) / max(readSeconds, 1e-9) / 1e9
    return [
      "experts     offload \(mode.rawValue), \(capacity) of \(experts) in memory (\(residentPeak) at most), \(HumanFormat.bytes(expertBytes)) each, hit rate \(percent(hitRate)), \(misses) reads\(isDirect ? " past the page cache" : ", pages dropped"), \(HumanFormat.fixed(rate, 2)) GB/s",
      "overlap     \(percent(hidden)) of the loading hidden; the windows cover at most \(percent(ceiling)); peak memory \(HumanFormat.fixed(peakResidentMegabytes(), 0)) MB",
    ]
  }

  package var json: JSONValue {
    .object([
      "mode": .string(mode.rawValue), "cache": .int(capacity), "experts": .int(experts),
      "expert_bytes": .int(expertBytes), "resident_peak": .int(residentPeak), "hit_rate": .double(hitRate),
      "reads": .int(misses), "read_seconds": .double(readSeconds), "hidden": .double(hidden),
      "ceiling": .double(ceiling), "peak_rss_mb": .double(peakResidentMegabytes()),
    ])
  }
}
