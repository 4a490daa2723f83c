import Foundation

/// A training run's progress: one line that is redrawn on a terminal, plain lines at intervals where
/// output is redirected.
///
///     train  ━━━━━━━━━━━━━───────  1200/2000  3,120 images/s  ETA 1m23s  loss 0.4321  top-1 91.2 %  peak 1.2 GB
///
/// The last part is the largest resident size of the process so far.
///
/// Not thread-safe: one loop owns it.
package final class ProgressLine {
  private let label: String
  private let total: Int
  private let unit: String?
  private let sink: any TextSink
  private let plainSeconds: Double
  private let plainSteps: Int?
  private let leaves: Bool
  private let memory: () -> Double
  private let now: () -> Double
  private let started: Double
  private let firstStep: Int
  private var rate: ThroughputMeter
  private var shownAt: Double?
  private var shownStep: Int
  private var step: Int
  private var fields: [(name: String, value: String)] = []
  private var isDrawn = false

  /// - Parameters:
  ///   - label: what is being done, such as "train".
  ///   - total: the number of steps.
  ///   - start: the steps already done, in a resumed run.
  ///   - unit: what `items` of `update` counts; nil shows no throughput.
  ///   - sink: where the line goes.
  ///   - plainSeconds: when redirected, the least time between two lines.
  ///   - plainSteps: when redirected, also the least number of steps between two lines.
  ///   - leaves: whether its last state stays. What does not is shown only when it takes long enough to be asked about.
  ///   - memory: the peak memory in 10⁶ bytes; tests give their own.
  ///   - now: a clock in seconds; tests give their own.
  package init(
    _ label: String, total: Int, start: Int = 0, unit: String? = "images", sink: any TextSink,
    plainSeconds: Double = 10, plainSteps: Int? = nil, leaves: Bool = true,
    memory: @escaping () -> Double = peakResidentMegabytes,
    now: @escaping () -> Double = { ProcessInfo.processInfo.systemUptime }
  ) {
    self.label = label
    self.total = total
    self.unit = unit
    self.sink = sink
    self.plainSeconds = plainSeconds
    self.plainSteps = plainSteps
    (self.leaves, self.memory) = (leaves, memory)
    self.now = now
    started = now()
    if !leaves { shownAt = started }
    firstStep = start
    step = start
    shownStep = start
    rate = ThroughputMeter(start: started)
  }

  /// Notes that `step` steps are done and `items` items were worked through since the last call,
  /// and draws if the last drawing is old enough.
  ///
  /// - Parameter fields: what else to show, the most important first; a narrow terminal drops the
  ///   last.
  package func update(step: Int, items: Int, _ fields: [(name: String, value: String)] = []) {
    let time = now()
    self.step = step
    self.fields = fields
    rate.add(items: items, at: time)
    guard isDue(time) else { return }
    draw(time)
  }

  /// Leaves time out of the throughput: an evaluation between two steps does not make steps slower.
  package func exclude(seconds: Double) { rate.shift(by: seconds) }

  /// Prints a line that stays, above the progress line.
  package func note(_ text: String) {
    erase()
    sink.line(text)
    if sink.isTerminal, step > firstStep { draw(now()) }
  }

  /// Takes the line away until the next drawing, for what is drawn in its place meanwhile.
  package func clear() { erase() }

  /// Shows the last state for good. To be called also before an error is printed.
  package func finish() {
    guard step > firstStep, leaves else { return erase() }
    let time = now()
    if sink.isTerminal || shownStep != step { draw(time) }
    if sink.isTerminal { sink.write("\n") }
    isDrawn = false
  }

  private func isDue(_ time: Double) -> Bool {
    guard let shownAt else { return true }
    // Ten drawings a second look smooth and cost nothing.
    if sink.isTerminal { return time - shownAt >= 0.1 }
    return time - shownAt >= plainSeconds && step - shownStep >= plainSteps ?? 1
  }

  private func draw(_ time: Double) {
    shownAt = time
    shownStep = step
    guard sink.isTerminal else { return sink.line(parts(time).joined(separator: "  ")) }
    // One write of the new text over the old one and an erased rest: nothing ever flickers.
    sink.write("\r" + terminalLine(parts(time), width: sink.width ?? 80) + "\u{1B}[K")
    isDrawn = true
  }

  private func erase() {
    if isDrawn { sink.write("\r\u{1B}[K") }
    isDrawn = false
  }

  private func parts(_ time: Double) -> [String] {
    var parts = ["\(step)/\(total)"]
    if let unit, let perSecond = rate.perSecond {
      let digits = perSecond < 10 ? HumanFormat.fixed(perSecond, 1) : nil
      parts.append("\(digits ?? HumanFormat.grouped(Int(perSecond.rounded()))) \(unit)/s")
    }
    let elapsed = time - started
    if step >= total {
      parts.append("in \(HumanFormat.duration(elapsed))")
    } else if step > firstStep {
      // From the whole run, evaluations and checkpoints included: they will come again.
      let seconds = elapsed / Double(step - firstStep) * Double(total - step)
      parts.append("ETA \(HumanFormat.duration(seconds))")
    }
    let peak = "peak " + HumanFormat.bytes(Int(memory() * 1e6))
    return [label] + parts + fields.map { "\($0.name) \($0.value)" } + [peak]
  }

  /// The parts with a bar after the label, cut to the width: first the bar shrinks, then the last part goes, then the bar,
  /// then the other parts from the last one on. The last column stays free, since some terminals wrap when it is filled.
  private func terminalLine(_ parts: [String], width: Int) -> String {
    let room = max(width - 1, 1)
    var parts = parts
    func length() -> Int { parts.map(\.count).reduce(2 * (parts.count - 1), +) }
    for all in [parts, parts.dropLast()] {
      parts = all
      let barWidth = min(room - length() - 2, 30)
      guard barWidth >= 6 else { continue }
      parts.insert(bar(barWidth), at: 1)
      return parts.joined(separator: "  ")
    }
    while length() > room, parts.count > 2 { parts.removeLast() }
    return String(parts.joined(separator: "  ").prefix(room))
  }

  private func bar(_ width: Int) -> String {
    let share = total > 0 ? min(max(Double(step) / Double(total), 0), 1) : 1
    let filled = Int(share * Double(width))
    return sink.styled(String(repeating: "━", count: filled), .cyan)
      + sink.styled(String(repeating: "─", count: width - filled), .dim)
  }
}

/// What happens before, between or instead of steps, such as rendering, tokenizing or an evaluation: a progress line that goes
/// when it is done. Where output is redirected, only what takes longer than some seconds is heard of. Thread-safe.
package final class PhaseProgress: @unchecked Sendable {
  private let lock = NSLock()
  private let make: (_ total: Int) -> ProgressLine
  private var line: ProgressLine?
  private var last = 0

  /// - Parameters: label: what is being done; unit: what it counts, nil shows no throughput.
  package init(_ label: String, unit: String? = nil, sink: any TextSink) {
    make = { ProgressLine(label, total: $0, unit: unit, sink: sink, leaves: false) }
  }

  package func update(_ done: Int, of total: Int) {
    lock.withLock {
      let line = line ?? make(total)
      self.line = line
      line.update(step: done, items: max(0, done - last))
      last = max(last, done)
    }
  }

  /// Counts one more as done.
  package func count(of total: Int) {
    lock.withLock {
      let line = line ?? make(total)
      self.line = line
      last += 1
      line.update(step: last, items: 1)
    }
  }

  package func finish() {
    lock.withLock {
      line?.finish()
      (line, last) = (nil, 0)
    }
  }

  /// Shows the progress of some work.
  package static func during<Result>(
    _ label: String, unit: String? = nil, _ sink: any TextSink,
    _ work: (_ progress: @escaping @Sendable (_ done: Int, _ total: Int) -> Void) throws -> Result
  ) rethrows -> Result {
    let phase = PhaseProgress(label, unit: unit, sink: sink)
    defer { phase.finish() }
    return try work { phase.update($0, of: $1) }
  }
}

/// Items a second over the last few seconds.
struct ThroughputMeter {
  private static let window = 5.0
  private var marks: [(time: Double, items: Int)]

  init(start: Double) { marks = [(start, 0)] }

  mutating func add(items: Int, at time: Double) {
    marks.append((time, (marks.last?.items ?? 0) + items))
    // One mark before the window stays, so that the window is covered by slow steps too.
    let old = marks.prefix { $0.time <= time - Self.window }.count
    if old > 1 { marks.removeFirst(old - 1) }
  }

  /// Moves what was seen so far later, as if so much time had not passed.
  mutating func shift(by seconds: Double) {
    for index in marks.indices { marks[index].time += seconds }
  }

  var perSecond: Double? {
    guard let first = marks.first, let last = marks.last, last.time > first.time else { return nil }
    let rate = Double(last.items - first.items) / (last.time - first.time)
    return rate < 1e15 ? rate : nil
  }
}
