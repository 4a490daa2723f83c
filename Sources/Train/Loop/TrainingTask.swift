import MMoEData
import MMoEFiles
import MMoEModels
import MMoEReport
import MMoETensor

/// A task with its model and data: all that the loop knows of either.
///
/// The loop is written once; what images, text and pairs differ in is here.
public protocol TrainingTask: AnyObject {
  /// What `--task` names.
  var name: String { get }
  /// What a validation is judged and shown by.
  var metrics: TaskMetrics { get }
  var model: any TrainableModel { get }
  /// Units of one optimizer step.
  var unitsPerStep: Int { get }
  /// Optimizer steps until the data was seen about once.
  var stepsPerEpoch: Int { get }
  /// Floating-point operations of one optimizer step, counted as `ModelCosts` does: the most that routing can ask for.
  var flopsPerStep: Double { get }
  /// What a checkpoint must remember of the data, such as class names, by name; compared when it is loaded.
  var vocabulary: [String: [String]] { get }
  /// Files that a checkpoint must carry so that it can be used alone, such as the tokenizer's, by name.
  var attachments: [String: [UInt8]] { get }
  /// Time spent waiting for data so far, in seconds.
  var waitSeconds: Double { get }
  /// What happened with the data and should be said at the end, such as skipped files; of all ranks, each of which must
  /// ask.
  var notes: [String] { get }

  /// Whether ranks and micro-batches may differ in how many targets their losses average over, as captions of different
  /// lengths do.
  var targetsVary: Bool { get }

  /// Starts the training stream at a micro-batch; the same number gives the same data.
  func startTraining(atMicroBatch index: Int) throws
  /// Fetches the next micro-batch of the stream.
  ///
  /// - Parameter kept: whether it must stay valid beyond the next one.
  func nextMicroBatch(kept: Bool) throws -> MicroBatch
  /// Evaluates on the validation set.
  func evaluate(progress: ((_ done: Int, _ total: Int) -> Void)?) throws -> Evaluation
  /// Something that the model makes, such as a piece of text, the same for the same weights; nil where a task makes
  /// nothing.
  func sample() throws -> String?
  /// A picture of what the latest evaluation found, such as images with the classes that the model takes them for; nil where
  /// a task draws none. Asked on the rank that writes the run alone.
  func evaluationPicture() throws -> RGBImage?
}

extension TrainingTask {
  public var attachments: [String: [UInt8]] { [:] }
  public var waitSeconds: Double { 0 }
  public var notes: [String] { [] }
  public func sample() throws -> String? { nil }
  public func evaluationPicture() throws -> RGBImage? { nil }
}

/// What a validation is judged and shown by.
///
/// Image classification has `top1` and `top5`, shares of images whose class is the most probable one, or among the five most
/// probable ones, and `calibration_error`: how far the model's confidence is from how often it is right, the expected
/// calibration error of arXiv 1706.04599 with 15 bins of equal width, 0 = a model that is right in 80 % of the cases in which
/// it says 80 %.
public struct TaskMetrics: Sendable {
  /// What throughput counts, such as `images`.
  public let unit: String
  /// The metric that decides which checkpoint is the best, how to compare and to show it.
  public let best: (name: String, higherIsBetter: Bool, isShare: Bool)
  /// What the terminal shows of a validation, in this order.
  public let headlines: [Headline]
  /// What `mmoe eval` shows behind them.
  public let details: [Headline]
  /// What the progress line shows beside the loss.
  public let progress: [Headline]

  public init(
    unit: String, best: (name: String, higherIsBetter: Bool, isShare: Bool), headlines: [Headline],
    details: [Headline] = [], progress: [Headline] = []
  ) {
    (self.unit, self.best, self.headlines, self.details, self.progress) = (unit, best, headlines, details, progress)
  }
}

/// A metric that the terminal shows, with the word that stands before it.
public struct Headline: Sendable {
  public let metric: String
  public let label: String
  /// Whether it is shown as a percentage.
  public let isShare: Bool

  public init(_ metric: String, _ label: String, isShare: Bool) {
    (self.metric, self.label, self.isShare) = (metric, label, isShare)
  }

  /// A value of the metric as people read it.
  public func text(_ value: Double) -> String {
    isShare ? HumanFormat.percent(value) : HumanFormat.fixed(value, 3)
  }
}

/// A piece of the training data, with what the task does with it.
public struct MicroBatch {
  /// How many targets each loss of the task has here, in the task's own order.
  public let targets: [Double]
  /// Runs the model and adds the task's loss to the tape with `pass.lossWeight`.
  ///
  /// Every loss and metric is a sum over this part divided by its element of `divisors`, the mean number of targets of the
  /// step's parts (micro-batches × ranks). The mean over the parts is then Σ / global count, whatever each part has.
  ///
  /// - Returns: metrics by name, the loss under `train_loss`; the same names on every rank.
  public let forward: (_ pass: ForwardPass, _ divisors: [Double]) throws -> [(name: String, value: Double)]
  /// Runs the model's blocks alone: all that its gates see.
  public let route: (_ pass: ForwardPass) throws -> Void

  public init(
    targets: [Double],
    forward: @escaping (_ pass: ForwardPass, _ divisors: [Double]) throws -> [(name: String, value: Double)],
    route: @escaping (_ pass: ForwardPass) throws -> Void
  ) {
    (self.targets, self.forward, self.route) = (targets, forward, route)
  }
}

/// What an evaluation found.
public struct Evaluation: Sendable {
  /// Mean loss without auxiliary terms, in nats.
  public let loss: Double
  /// The task's metrics by name, such as `top1`, in the order in which they are shown.
  public let metrics: [(name: String, value: Double)]
  /// Per class: name, images, correct ones. Empty for tasks without classes.
  public let classes: [(name: String, count: Int, correct: Int)]
  /// Units evaluated, and those left out as unreadable.
  public let count: Int
  public let skipped: Int

  public init(
    loss: Double, metrics: [(name: String, value: Double)],
    classes: [(name: String, count: Int, correct: Int)] = [], count: Int, skipped: Int = 0
  ) {
    self.loss = loss
    self.metrics = metrics
    self.classes = classes
    self.count = count
    self.skipped = skipped
  }

  public subscript(_ metric: String) -> Double? {
    metric == "loss" ? loss : metrics.first { $0.name == metric }?.value
  }

  /// - Parameter file: the checkpoint that was evaluated.
  /// - Throws: `TrainError` naming the metrics that are not finite.
  package func requireFinite(_ file: String) throws {
    let bad = ([("loss", loss)] + metrics).filter { !$0.1.isFinite }
    guard !bad.isEmpty else { return }
    throw TrainError(
      file, found: "\(bad.map { "\($0.0) is \(HumanFormat.exact($0.1))" }.joined(separator: ", "))",
      expected: "finite numbers", remedy: "the model has diverged, use an earlier checkpoint")
  }
}
