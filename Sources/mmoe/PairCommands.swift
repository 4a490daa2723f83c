import ArgumentParser
import MMoEReport
import MMoERuns
import MMoETrain

struct CaptionCommand: RunsOnRanks {
  static let configuration = CommandConfiguration(
    commandName: "caption", abstract: "Say what pictures show and recordings hold, with a multimodal model.")

  @Argument(help: "PNG or WAV files.", completion: .file()) var files: [String]
  @OptionGroup var source: CheckpointOption
  @OptionGroup var compute: ThreadsOption
  @OptionGroup var team: TeamOption
  @OptionGroup var format: JSONOnlyOption

  func run() throws {
    try team.start.launch()
    var options = CaptionSession.Options()
    (options.checkpoint, options.files) = (source.checkpoint, files)
    (options.threads, options.printsJSON) = (compute.threads, format.json)
    options.expertParallel = team.expertParallel ?? 0
    try CaptionSession(options).run()
  }
}

struct RetrieveCommand: RunsOnRanks {
  static let configuration = CommandConfiguration(
    commandName: "retrieve", abstract: "Find what fits a text, a picture or a recording, of every other modality.",
    discussion: """
      Looks among the pictures of --images, or among what is held out of a folder of pairs: pictures, recordings and \
      captions. Pictures that were found are drawn on one sheet.
      """)

  @Argument(help: "A text, such as \"a red apple\".") var query: String?
  @Option(help: "A PNG file, instead of a text.", completion: .file()) var image: String?
  @Option(help: "A WAV file, instead of a text.", completion: .file()) var audio: String?
  @Option(
    help: "A folder of images to look among; by default the held-out part of the data.", completion: .directory)
  var images: String?
  @Option(
    help: "A folder with captions.jsonl; - for the embedded data. By default what the run was trained on.",
    completion: .directory)
  var data: String?
  @OptionGroup var source: CheckpointOption
  @Option(help: "Answers to show of each modality.") var count = 10
  @Option(help: "The contact sheet, a PNG file.") var out = OutputPath(RetrieveSession.Options().sheet)
  @OptionGroup var compute: ThreadsOption
  @OptionGroup var team: TeamOption
  @OptionGroup var format: JSONOption

  func validate() throws {
    if [query, image, audio].count(where: { $0 != nil }) != 1 {
      throw ValidationError("one of a text, --image and --audio is looked for; give one of them")
    }
    if images != nil, data != nil {
      throw ValidationError("--images and --data both say where to look; give one of them")
    }
    if image != nil, images != nil {
      throw ValidationError("--images has pictures alone, and a picture finds what is none; leave --images out")
    }
    if !(1...1000).contains(count) { throw ValidationError("--count is \(count), expected 1 to 1000") }
  }

  func run() throws {
    var options = RetrieveSession.Options()
    (options.checkpoint, options.images, options.data) = (source.checkpoint, images, data)
    for (field, path) in [("image", image), ("audio", audio)] {
      if let path { options.query = .file(field: field, path: path) }
    }
    if let query { options.query = .text(query) }
    (options.count, options.sheet) = (count, try out.file("--out"))
    (options.threads, options.printsJSON) = (compute.threads, format.json)
    options.expertParallel = team.expertParallel ?? 0
    try team.start.launch()
    try RetrieveSession(options).run()
  }
}
