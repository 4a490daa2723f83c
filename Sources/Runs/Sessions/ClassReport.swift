import MMoEData
import MMoEFiles
import MMoEReport
import MMoETrain

/// What `mmoe eval` says, writes and draws of single samples and of classes that are taken for each other.
struct ClassReport {
  /// What the command line asks for.
  struct Options: Sendable {
    /// A table of all samples, a picture of the confusion matrix, the mistakes of highest loss, and a sheet of these.
    var predictions, confusion: String?
    var worst: Int?
    var sheet: String?

    var isEmpty: Bool { predictions == nil && confusion == nil && worst == nil }
    /// For messages.
    var name: String { predictions != nil ? "--predictions" : confusion != nil ? "--confusion" : "--worst" }
  }

  private let options: Options
  private let classes: [String]
  private let text: TextDrawer?
  private let isFirst: Bool

  /// - Throws: `RunError` for a task without classes; `ReportError` or `DataError` where what pictures need is not installed.
  init(_ options: Options, of job: any TrainingTask, _ checkpoint: String, _ run: CommandRun) throws {
    classes = (job as? any ClassifyingTask)?.classNames ?? []
    guard !classes.isEmpty else {
      throw RunError(
        options.name, found: "\(checkpoint) has the task \(job.name), without labels",
        expected: "a model that finds classes",
        remedy: "leave it out")
    }
    self.options = options
    isFirst = run.world.rank == 0
    if isFirst, let confusion = options.confusion { _ = try Gnuplot.required(for: confusion) }
    text = try isFirst && options.sheet != nil ? TextDrawer() : nil
  }

  /// Prints, writes and draws on the first rank.
  ///
  /// - Parameter data: the folder that the samples are from.
  /// - Returns: fields of the command's JSON.
  /// - Throws: `FileFailure`, `ReportError` or `DataError` for a file that cannot be written, `RunError` for one of the samples' own.
  func write(_ predictions: [ClassPrediction], data: String, _ run: CommandRun) throws -> [String: JSONValue] {
    guard isFirst else { return [:] }
    try OutputCheck.requireOther(
      [("--predictions", options.predictions), ("--confusion", options.confusion), ("--sheet", options.sheet)],
      than: predictions.map(\.path), in: data)
    let human = run.human
    var fields: [String: JSONValue] = [:]
    let mistakes = predictions.filter { !$0.isCorrect }
    if let worst = options.worst {
      let shown = ClassReport.worst(worst, of: mistakes)
      human.line()
      human.write(table(shown, of: mistakes.count, human))
      fields["worst"] = .array(shown.map(json))
      if let sheet = options.sheet, let text {
        // What is no picture, such as a recording, is in the lines alone.
        let drawn = shown.filter { ImageFormat.reads($0.path) }
        if drawn.isEmpty {
          human.line("\(oneLine(sheet)): not drawn, since there is no picture among them")
        } else {
          let picture = try PredictionSheet.picture(drawn, classes: classes, columns: 10, text)
          try DurableFile.write(picture.png(), to: sheet)
          human.line("\(oneLine(sheet)): \(drawn.count) pictures, each with the predicted and the true class")
          fields["sheet"] = .string(sheet)
        }
      }
    }
    if let file = options.predictions {
      try DurableFile.write(csv(predictions), to: file)
      human.line("\(oneLine(file)): \(HumanFormat.grouped(predictions.count)) rows")
      fields["predictions"] = .string(file)
    }
    if let file = options.confusion {
      let matrix = ConfusionMatrix(
        names: classes, samples: predictions.map { (label: $0.label, predicted: $0.predicted) })
      try matrix.figure(title: oneLine(data)).write(to: file)
      human.line("\(oneLine(file)): the classes that are taken for each other")
      fields["confusion"] = .string(file)
    }
    return fields
  }

  func csv(_ predictions: [ClassPrediction]) -> String {
    var table = CSVTable(["path", "label", "predicted", "correct", "probability", "loss"])
    for one in predictions {
      table.add([
        one.path, classes[one.label], classes[one.predicted], one.isCorrect ? "1" : "0", "\(one.probability)",
        "\(one.loss)",
      ])
    }
    return table.text
  }

  /// The mistakes of highest loss, the highest first.
  static func worst(_ count: Int, of mistakes: [ClassPrediction]) -> [ClassPrediction] {
    Array(mistakes.sorted { ($1.loss, $0.path) < ($0.loss, $1.path) }.prefix(count))
  }

  private func table(_ shown: [ClassPrediction], of count: Int, _ sink: any TextSink) -> String {
    guard !shown.isEmpty else { return "no mistakes\n" }
    var table = TextTable(columns: [
      .right("loss"), .left("true"), .left("predicted"), .right(""),
      .left("the worst \(shown.count) of \(count) mistakes"),
    ])
    for one in shown {
      table.add([
        HumanFormat.fixed(Double(one.loss), 2), oneLine(classes[one.label]), oneLine(classes[one.predicted]),
        HumanFormat.percent(Double(one.probability)), oneLine(one.path),
      ])
    }
    return table.render(for: sink)
  }

  private func json(_ one: ClassPrediction) -> JSONValue {
    .object([
      "path": .string(one.path), "label": .string(classes[one.label]), "predicted": .string(classes[one.predicted]),
      "probability": .double(one.probability.shortDouble), "loss": .double(one.loss.shortDouble),
    ])
  }
}
