import ArgumentParser
import MMoEReport
import MMoERuns
import MMoETrain

struct CaptionCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "caption", abstract: "Say what pictures show, with a model of images and texts.")

  @Argument(help: "PNG files.") var images: [String]
  @Option(help: "A checkpoint or a run's folder of `mmoe train --task multimodal`; the latest run by default.")
  var checkpoint: String?
  @Option(help: "Computing threads; all cores by default.") var threads: Int?
  @Flag(help: "Print a line of JSON for each picture.") var json = false

  func run() throws {
    var options = CaptionSession.Options()
    (options.checkpoint, options.images) = (checkpoint, images)
    (options.threads, options.printsJSON) = (threads, json)
    try CaptionSession(options).run()
  }
}

struct RetrieveCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "retrieve", abstract: "Find the pictures of a folder that fit a text, and draw them on one sheet.")

  @Argument(help: "A text, such as \"a red apple\".") var query: String
  @Option(help: "A folder of PNG files.") var images: String
  @Option(help: "A checkpoint or a run's folder of `mmoe train --task multimodal`; the latest run by default.")
  var checkpoint: String?
  @Option(help: "Pictures to show.") var count = 10
  @Option(help: "The contact sheet, a PNG file.") var out = OutputPath(RetrieveSession.Options().sheet)
  @Option(help: "Computing threads; all cores by default.") var threads: Int?
  @Flag(help: "End with one line of JSON on standard output.") var json = false

  func validate() throws {
    if !(1...1000).contains(count) { throw ValidationError("--count is \(count), expected 1 to 1000") }
  }

  func run() throws {
    var options = RetrieveSession.Options()
    (options.checkpoint, options.query, options.images) = (checkpoint, query, images)
    (options.count, options.sheet, options.threads, options.printsJSON) = (count, try out.file("--out"), threads, json)
    try RetrieveSession(options).run()
  }
}
