import ArgumentParser
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
  @Option(help: "lm: multiple-choice questions instead, JSONL lines of context, choices, answer.") var choices: String?
  @Option(help: "lm: last words instead, JSONL lines of text (LAMBADA).") var lastWord: String?
  @OptionGroup var format: JSONOption

  func validate() throws {
    if set.data != nil, choices != nil || lastWord != nil {
      throw ValidationError("--choices and --last-word are the data; give no --data beside them")
    }
  }

  func run() throws {
    try team.start.launch()
    var options = EvalSession.Options()
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
