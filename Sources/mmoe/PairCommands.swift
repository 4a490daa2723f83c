import ArgumentParser
import MMoEReport
import MMoERuns
import MMoETrain

struct CaptionCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "caption", abstract: "Say what pictures show, with a model of images and texts.")

  @Argument(help: "PNG files.") var images: [String]
  @OptionGroup var source: CheckpointOption
  @OptionGroup var compute: ThreadsOption
  @OptionGroup var format: JSONOnlyOption

  func run() throws {
    var options = CaptionSession.Options()
    (options.checkpoint, options.images) = (source.checkpoint, images)
    (options.threads, options.printsJSON) = (compute.threads, format.json)
    try CaptionSession(options).run()
  }
}

struct RetrieveCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "retrieve", abstract: "Find the pictures of a folder that fit a text, and draw them on one sheet.")

  @Argument(help: "A text, such as \"a red apple\".") var query: String
  @Option(help: "A folder of PNG files.") var images: String
  @OptionGroup var source: CheckpointOption
  @Option(help: "Pictures to show.") var count = 10
  @Option(help: "The contact sheet, a PNG file.") var out = OutputPath(RetrieveSession.Options().sheet)
  @OptionGroup var compute: ThreadsOption
  @OptionGroup var format: JSONOption

  func validate() throws {
    if !(1...1000).contains(count) { throw ValidationError("--count is \(count), expected 1 to 1000") }
  }

  func run() throws {
    var options = RetrieveSession.Options()
    (options.checkpoint, options.query, options.images) = (source.checkpoint, query, images)
    (options.count, options.sheet) = (count, try out.file("--out"))
    (options.threads, options.printsJSON) = (compute.threads, format.json)
    try RetrieveSession(options).run()
  }
}
