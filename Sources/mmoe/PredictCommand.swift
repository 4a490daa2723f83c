import ArgumentParser
import MMoEReport
import MMoERuns

struct PredictCommand: RunsOnRanks {
  static let configuration = CommandConfiguration(
    commandName: "predict", abstract: "Say which classes images show, with a model of image classification.",
    discussion: """
      A line for each file with its most probable classes. Images are cut and scaled as in evaluation. Files that cannot be read are \
      named, the others predicted, and the exit status is 1.
      """)

  @Argument(help: "Image files, and folders in which all images are taken.", completion: .file()) var files: [String]
  @OptionGroup var source: CheckpointOption
  @Option(help: "Classes of each image; by default 5, or all where the model has fewer.") var topK: Int?
  @Option(help: "Also write files, classes and probabilities as comma-separated values.") var csv: OutputPath?
  @Option(help: "Also draw the images on one, each with its class: a PNG file.") var sheet: OutputPath?
  @OptionGroup var compute: ThreadsOption
  @OptionGroup var team: TeamOption
  @OptionGroup var overrides: SettingsOption
  @OptionGroup var format: JSONOnlyOption

  func validate() throws {
    if let topK, topK < 1 { throw ValidationError("--top-k is \(topK); at least 1 is needed") }
  }

  func run() throws {
    var options = PredictSession.Options()
    (options.files, options.checkpoint, options.count) = (files, source.checkpoint, topK)
    (options.csv, options.sheet) = (try csv?.file("--csv"), try sheet?.file("--sheet"))
    options.settings = compute.settings + team.settings + overrides.settings
    options.printsJSON = format.json
    try team.start.launch()
    let status = try PredictSession(options).run()
    if status != 0 { throw ExitCode(status) }
  }
}
