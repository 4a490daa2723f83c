import ArgumentParser
import MMoEReport
import MMoEStudy
import MMoETrain

struct StudyCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "study", abstract: "Train variants with several seeds each, and compare them.",
    discussion: """
      Finished runs stand in rows.jsonl of the study's folder, a line each; a study that was stopped goes on with the \
      same command. configs/studies has examples.
      """)

  @Argument(help: "A study, such as configs/studies/language.yaml.", completion: .file()) var file: String
  @Option(help: "Its folder; checkpoints/study-NAME by default.") var out: OutputPath?
  @OptionGroup var set: DataOption
  @OptionGroup var compute: ThreadsOption
  @Flag(help: "Compare what is finished and run nothing; also while the study runs.") var report = false
  @Option(help: "Compare all with this variant, instead of the baselines of the file.") var against: String?
  @Option(help: "Compare by this metric, such as recall_at_10, instead of the validation loss.") var measure: String?
  @OptionGroup var format: JSONOption

  func validate() throws {
    if report, set.data != nil { throw ValidationError("--report reads finished rows; --data is for their runs") }
  }

  func run() throws {
    if !report { OutputLoss.outlive() }
    var options = StudySession.Options()
    options.file = file
    options.out = try report ? out?.unchecked : out?.folder("--out")
    options.data = set.data
    options.threads = compute.threads
    options.onlyReports = report
    options.against = against
    options.measure = measure
    options.printsJSON = format.json
    let status = try StudySession(options).run()
    if status != 0 { throw ExitCode(status) }
  }
}
