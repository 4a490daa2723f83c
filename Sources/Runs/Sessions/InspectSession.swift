import Foundation
import MMoEConfig
import MMoEData
import MMoEFiles
import MMoEModels
import MMoEReport
import MMoETrain

/// `mmoe data inspect`: what a data set holds, whatever it is of, divided as training divides it.
package struct InspectSession {
  /// What the command line said.
  package struct Options: Sendable {
    /// A folder, a text, or the name of a set.
    package var data = ""
    /// Where a sheet of pictures goes; nil = none.
    package var sheet: String?
    package var settings: [String] = []
    package var printsJSON = false
    package init() {}
  }

  /// What there is at a path.
  enum Kind {
    case shards, pairs, images, text

    /// The kind of model that learns from it.
    var model: ModelKind {
      switch self {
      case .shards, .text: .gpt
      case .pairs: .multimodal
      case .images: .vit
      }
    }
  }

  private let options: Options
  private let sinks: CommandSinks

  package init(_ options: Options, _ sinks: CommandSinks = .standard) { (self.options, self.sinks) = (options, sinks) }

  private var human: any TextSink { options.printsJSON ? sinks.errors : sinks.output }

  /// Prints what was found, then draws the sheet.
  ///
  /// - Throws: what is wrong with the data: at once where nothing can be said of it, else after all that can.
  package func run() throws {
    let path = try NamedImages.path(options.data, sink: sinks.errors)
    let kind = try InspectSession.kind(of: path)
    var config = RunConfig()
    config.model.kind = kind.model
    config = try config.applying(options.settings, for: .inspection)
    let text = try options.sheet.map { _ in try TextDrawer() }
    switch kind {
    case .shards:
      try refuseSheet("token shards")
      let found = try ShardInspection(path: path)
      say(found, found.text())
    case .text:
      try refuseSheet("a text")
      var reading = CorpusTokenizer.Options()
      (reading.field, reading.documents) = (config.text.field, config.text.documents)
      reading.validationShare = config.data.validationShare
      let found = try CorpusWork.withProgress("inspecting", sinks.errors) {
        try CorpusInspection(path: path, options: reading, progress: $0)
      }
      say(found, found.text())
      try found.requireUsable()
    case .pairs:
      let folder = try PairFolder(path: path, validationShare: config.data.validationShare)
      let files = DatasetSplit.allCases.flatMap { folder[$0].items.flatMap { $0.files.values.joined() } }
      try requireOther(than: files, in: path)
      let found = try InspectSession.withProgress("files", sinks.errors) { try PairInspection(folder, progress: $0) }
      say(found, found.text())
      if let text {
        try write(
          InspectionSheet.image(folder, bad: Set(found.badFiles.map(\.path)), text), "items with their captions")
      }
      try found.requireUsable()
    case .images:
      let folder = try ImageFolder(lookingAt: path, validationShare: config.data.validationShare)
      try requireOther(than: DatasetSplit.allCases.flatMap { try folder[$0].images.map(\.path) }, in: path)
      let found = try InspectSession.withProgress("images", sinks.errors) {
        try DatasetInspection(folder, progress: $0)
      }
      say(found, found.text())
      if let text {
        let shown = min(folder.classes.count, InspectionSheet.rows)
        try write(
          InspectionSheet.image(folder, bad: Set(found.badFiles.map(\.path)), text),
          shown < folder.classes.count
            ? "rows of the first \(shown) of \(HumanFormat.grouped(folder.classes.count)) classes"
            : "a row for each of \(shown) classes")
      }
      try found.requireUsable()
      try folder.requireSeveralClasses()
    }
  }

  /// What is at a path is told by its files' names: shards, `captions.jsonl`, and of images and texts what there is more of.
  static func kind(of path: String) throws -> Kind {
    if TokenCorpus.isShardFolder(path) { return .shards }
    if PairFolder.isOne(path) { return .pairs }
    switch OutputPlace.kind(of: path) {
    case S_IFDIR: return try TextInspection.prevails(in: path) ? .text : .images
    case S_IFREG?: return TextInspection.isCandidate(path) ? .text : .images
    default: return .images
    }
  }

  private func say(_ found: some Encodable, _ text: String) {
    sinks.output.line(options.printsJSON ? JSONValue.line(found) : text)
  }

  private func refuseSheet(_ what: String) throws {
    guard options.sheet != nil else { return }
    throw RunError(
      "--sheet", found: "\(options.data) is \(what), which has no pictures", expected: "a folder of images or pairs",
      remedy: "leave it out")
  }

  private func requireOther(than files: [String], in data: String) throws {
    try OutputCheck.requireOther([("--sheet", options.sheet)], than: files, in: data)
  }

  private func write(_ image: RGBImage?, _ what: String) throws {
    guard let sheet = options.sheet else { return }
    guard let image else {
      human.line("\(oneLine(sheet)): not drawn, since there is no picture")
      return
    }
    try DurableFile.write(image.png(), to: sheet)
    human.line("\(oneLine(sheet)): \(what)")
  }

  /// The progress of work that tells of every file from several threads.
  private static func withProgress<Result>(
    _ unit: String, _ sink: any TextSink, _ body: (@escaping @Sendable (_ total: Int) -> Void) throws -> Result
  ) rethrows -> Result {
    let progress = PhaseProgress("inspecting", unit: unit, sink: sink)
    defer { progress.finish() }
    return try body { progress.count(of: $0) }
  }
}
