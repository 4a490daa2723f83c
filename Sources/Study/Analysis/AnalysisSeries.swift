import MMoEModels
import MMoEParallel
import MMoETensor
import MMoETrain

/// What was measured on one checkpoint, or on those of one run in the order of their steps.
struct AnalysisSeries<Measurement> {
  /// Preset and variant, where that tells it from the others of an analysis; else the run's or the file's name.
  var label: String
  let config: ModelConfig
  var points: [(step: Int, value: Measurement)] = []

  var last: Measurement { points[points.count - 1].value }
}

/// One of the analyses: what it measures on a model, and what it makes of it.
protocol Analysis {
  associatedtype Measurement
  /// The word on the command line.
  static var name: String { get }
  /// Whether models without experts have nothing to show.
  static var needsExperts: Bool { get }
  /// Whether samples of the training part are looked at too.
  static var needsTrainingPart: Bool { get }
  /// Changes what the model is run with; its weights' shapes must stay.
  static func adapt(_ config: inout ModelConfig)
  /// Measures the model as it is now.
  static func measure(_ task: any ProbedTask, _ config: ModelConfig, _ probe: Probe) throws -> Measurement
  static func report(_ series: [AnalysisSeries<Measurement>]) -> AnalysisOutput
}

extension Analysis {
  package static var needsExperts: Bool { false }
  package static var needsTrainingPart: Bool { false }
  package static func adapt(_ config: inout ModelConfig) {}
}

/// How many samples a model is looked at with, and what computes them. Every rank reads all of them.
struct Probe {
  /// Images or windows of text.
  let samples: Int
  let engine: Engine
  /// The ranks that share out the model's experts; nil = this process has all.
  var team: RankTeam?

  /// A pass as in evaluation: no noise, nothing dropped by stochastic depth.
  func pass(recording: Bool = false, observer: (any PassObserver)? = nil) -> ForwardPass {
    ForwardPass(Tape(engine, recording: recording), training: false, coordinator: team, observer: observer)
  }
}

extension Engine {
  /// A number for each row, computed on all threads.
  func rowValues(_ rows: Int, _ value: (Int) -> Double) -> [Double] {
    [Double](unsafeUninitializedCapacity: rows) { buffer, count in
      nonisolated(unsafe) let values = buffer.baseAddress!
      forRowTiles(rows) { range, _, _ in
        for row in range { values[row] = value(row) }
      }
      count = rows
    }
  }
}
