import Foundation
import MMoEFiles
import MMoETensor

/// A timeline of all ranks in the Trace Event Format, which Perfetto and chrome://tracing show.
package struct TraceFile: Codable, Sendable {
  package struct Event: Codable, Sendable {
    package var name: String
    /// The kind of a `Timeline.Event`.
    package var cat: String
    /// "X": a span; "M": names a process or thread.
    package var ph: String
    /// Microseconds since the trace's start, and how long.
    package var ts: Double
    package var dur: Double
    /// The rank, and a lane of it: 0 operators, 1 waits, 2 polls, from 3 on transfers in flight.
    package var pid: Int
    package var tid: Int
    package var args: Arguments
  }

  package struct Arguments: Codable, Sendable {
    /// The block, such as `blocks.3`.
    package var scope: String?
    package var bytes: Int?
    /// Of an "M" event.
    package var name: String?
  }

  package struct Information: Codable, Sendable {
    package var title: String
    /// Why the overlap is as it is, a line a route.
    package var notes: [String]
    package var ranks: Int
    package var steps: Int
  }

  package var traceEvents: [Event]
  package var displayTimeUnit = "ms"
  package var otherData: Information

  /// - Throws: `ParallelError` when the file cannot be read or is no trace of ours.
  package init(reading file: String) throws {
    guard let bytes = FileManager.default.contents(atPath: file) else {
      throw ParallelError("\(file): cannot be read; expected a file that --trace wrote")
    }
    do {
      self = try JSONDecoder().decode(TraceFile.self, from: bytes)
    } catch {
      throw ParallelError(
        "\(file): is no trace that `mmoe train --trace` wrote; expected JSON with traceEvents and otherData")
    }
  }

  init(events: [Event], information: Information) {
    traceEvents = events
    otherData = information
  }

  static func spans(_ timeline: Timeline, rank: Int, origin: Double) -> [Event] {
    var lanes: [Double] = []
    return timeline.events.sorted { $0.start < $1.start }.map { event in
      var lane: Int
      switch event.kind {
      case .forward, .backward, .step: lane = 0
      case .wait: lane = 1
      case .poll: lane = 2
      case .exchange:
        lane = lanes.firstIndex { $0 <= event.start } ?? lanes.count
        if lane == lanes.count { lanes.append(0) }
        lanes[lane] = event.end
        lane += 3
      }
      return Event(
        name: event.kind == .backward ? event.name + " ′" : event.name, cat: event.kind.rawValue,
        ph: "X", ts: (event.start - origin) * 1e6, dur: event.seconds * 1e6, pid: rank, tid: lane,
        args: Arguments(
          scope: event.scope.isEmpty ? nil : event.scope, bytes: event.bytes > 0 ? event.bytes : nil))
    }
  }

  static func names(rank: Int, lanes: Int) -> [Event] {
    func name(_ what: String, _ tid: Int, _ text: String) -> Event {
      Event(
        name: what, cat: "", ph: "M", ts: 0, dur: 0, pid: rank, tid: tid, args: Arguments(name: text))
    }
    let threads = ["operators", "waits", "polls"] + (3..<max(lanes, 4)).map { "in flight \($0 - 2)" }
    return [name("process_name", 0, "rank \(rank)")]
      + threads.enumerated().map { name("thread_name", $0.offset, $0.element) }
  }
}

/// Records a timeline of some steps on every rank and writes them into one file.
package final class TraceRecorder {
  package let file: String
  private let engine: Engine
  private let world: Communicator
  private let timeline = Timeline()
  private let warmUp: Int
  private let recorded: Int
  private var seen = 0
  private var steps = 0
  private var began = 0.0

  /// - Parameters:
  ///   - file: the JSON file that the first rank writes.
  ///   - warmUp: steps left out first.
  ///   - recorded: steps that are recorded; what comes later looks the same.
  package init(
    file: String, engine: Engine, world: Communicator, warmUp: Int = 2, recorded: Int = 8
  ) {
    self.file = file
    self.warmUp = warmUp
    self.recorded = recorded
    self.engine = engine
    self.world = world
  }

  /// - Parameter hasDecided: whether the overlap is as it will stay.
  package func beginStep(hasDecided: Bool) {
    defer { seen += 1 }
    guard hasDecided, seen >= warmUp, steps < recorded else { return }
    engine.timeline = timeline
    began = monotonicSeconds()
  }

  package func endStep() {
    guard engine.timeline === timeline else { return }
    timeline.append("step", scope: "", .step, from: began, to: monotonicSeconds())
    engine.timeline = nil
    steps += 1
  }

  /// Writes what was recorded; every rank must call.
  ///
  /// - Throws: `ParallelError` when the file cannot be written.
  package func write(title: String, notes: [String]) throws {
    // Hosts have clocks of their own: all leave a barrier at nearly the same moment.
    world.barrier(patiently: true)
    let now = monotonicSeconds()
    let start = timeline.events.map(\.start).min() ?? now
    let span = world.allReduce([now - start], .maximum)[0]
    let own = TraceFile.spans(timeline, rank: world.rank, origin: now - span)
    guard let encoded = try? JSONEncoder().encode(own) else { preconditionFailure("spans encode") }
    let all = world.allGather(Array(encoded))
    guard world.rank == 0 else { return }
    var events: [TraceFile.Event] = []
    for (rank, bytes) in all.enumerated() {
      let spans = (try? JSONDecoder().decode([TraceFile.Event].self, from: Data(bytes))) ?? []
      events += TraceFile.names(rank: rank, lanes: (spans.map(\.tid).max() ?? 0) + 1) + spans
    }
    let trace = TraceFile(
      events: events,
      information: TraceFile.Information(title: title, notes: notes, ranks: world.size, steps: steps))
    try DurableFile.write(try JSONEncoder().encode(trace), to: file)
  }
}
