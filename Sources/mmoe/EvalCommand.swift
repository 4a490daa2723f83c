import ArgumentParser
import MMoEReport
import MMoERuns
import MMoETrain

struct EvalCommand: RunsOnRanks {
  static let configuration = CommandConfiguration(
    commandName: "eval", abstract: "Evaluate a checkpoint on a validation set.")

  @OptionGroup var work: TaskOption
  @OptionGroup var source: CheckpointOption
  @OptionGroup var set: DataOption
  @OptionGroup var compute: ThreadsOption
  @OptionGroup var team: TeamOption
  @OptionGroup var overrides: SettingsOption
  @Option(help: "lm: multiple-choice questions instead, JSONL lines of context, choices, answer.", completion: .file())
  var choices: String?
  @Option(help: "lm: last words instead, JSONL lines of text (LAMBADA).", completion: .file()) var lastWord: String?
  @Option(help: "Models with classes: also write what was found for every sample, as comma-separated values.")
  var predictions: OutputPath?
  @Option(help: "Models with classes: also draw which classes are taken for which, a PNG file.") var confusion:
    OutputPath?
  @Option(help: "Models with classes: also list so many mistakes, those of highest loss.") var worst: Int?
  @Option(help: "With --worst: also draw these mistakes, a PNG file.") var sheet: OutputPath?
  @OptionGroup var format: JSONOption

  func validate() throws {
    if set.data != nil, choices != nil || lastWord != nil {
      throw ValidationError("--choices and --last-word are the data; give no --data beside them")
    }
    if choices != nil || lastWord != nil, predictions != nil || confusion != nil || worst != nil {
      throw ValidationError(
        "--choices and --last-word have no classes; leave --predictions, --confusion and --worst out")
    }
    if let worst, !(1...1000).contains(worst) { throw ValidationError("--worst is \(worst), expected 1 to 1000") }
    if sheet != nil, worst == nil { throw ValidationError("--sheet draws mistakes; give --worst, their number, too") }
  }

  func run() throws {
    var options = EvalSession.Options()
    (options.predictions, options.confusion) = (
      try predictions?.file("--predictions"), try confusion?.file("--confusion")
    )
    (options.worst, options.sheet) = (worst, try sheet?.file("--sheet"))
    try team.start.launch()
    options.task = work.task
    options.checkpoint = source.checkpoint
    options.data = set.data
    options.choices = choices
    options.lastWord = lastWord
    options.settings = compute.settings + team.settings + overrides.settings
    options.printsJSON = format.json
    try EvalSession(options).run()
  }
}
