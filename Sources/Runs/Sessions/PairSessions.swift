import Foundation
import MMoEData
import MMoEFiles
import MMoEModels
import MMoEReport
import MMoETensor
import MMoETrain

/// A multimodal model with its tokenizer, from a checkpoint alone.
struct LoadedPairModel {
  let model: MultimodalTransformer
  let tokens: CaptionTokens
  let file: String
  let engine: Engine
  private let normalization: PixelNormalization

  /// - Parameter checkpoint: a file, a run's folder, or nil for the latest run.
  /// - Throws: `HDF5Error` or `TrainError` for a file that is missing, damaged, or holds another kind of model.
  init(_ checkpoint: String?, threads: Int?) throws {
    let loaded = try LoadedCheckpoint(RunFolder.checkpoint(at: checkpoint, task: TaskKind.multimodal.name))
    file = loaded.file
    let config = loaded.info.config
    guard config.model.kind == .multimodal else {
      throw TrainError(
        file, found: "a checkpoint of the task \(loaded.info.task)", expected: "a model of images and texts",
        remedy: "give one made by `mmoe train --task multimodal`")
    }
    engine = try Engine(threads: threads)
    tokens = try CaptionTokens(TokenizerAttachments.load(loaded.info.attachments))
    normalization = config.data.pixelNormalization
    model = try MultimodalTransformer(config.model, seed: nil, engine: engine)
    try loaded.restore(model)
  }

  func input(_ image: RGBImage) -> Tensor {
    image.input(side: model.config.vision.image, normalization: normalization)
  }
}

/// `mmoe caption`: what a model says about pictures.
public struct CaptionSession {
  public struct Options: Sendable {
    /// A file or a run's folder; nil = the latest run.
    public var checkpoint: String?
    public var images: [String] = []
    public var threads: Int?
    public var printsJSON = false
    public init() {}
  }

  private let options: Options
  private let output: any TextSink

  public init(_ options: Options, output: any TextSink = StandardStream.output) {
    (self.options, self.output) = (options, output)
  }

  /// Prints a line for each picture.
  ///
  /// - Throws: the first thing that is wrong, one line each.
  public func run() throws {
    let loaded = try LoadedPairModel(options.checkpoint, threads: options.threads)
    let generator = CaptionGenerator(model: loaded.model, tokens: loaded.tokens, engine: loaded.engine)
    for path in options.images {
      let text = try generator.caption([(VisionModality.name, loaded.input(RGBImage(contentsOf: path)))])
      output.line(
        options.printsJSON
          ? JSONValue.object(["image": .string(path), "caption": .string(text)]).line : "\(path)  \(text)")
    }
  }
}

/// `mmoe retrieve`: the pictures of a folder that fit a text best.
public struct RetrieveSession {
  public struct Options: Sendable {
    /// A file or a run's folder; nil = the latest run.
    public var checkpoint: String?
    public var query = ""
    public var images = ""
    /// Pictures that are shown.
    public var count = 10
    /// Where the contact sheet goes.
    public var sheet = "retrieved.png"
    public var threads: Int?
    public var printsJSON = false
    public init() {}
  }

  private let options: Options
  private let output: any TextSink
  private let human: any TextSink

  public init(
    _ options: Options, output: any TextSink = StandardStream.output, errors: any TextSink = StandardStream.error
  ) {
    (self.options, self.output) = (options, output)
    human = options.printsJSON ? errors : output
  }

  /// Prints the best pictures and draws them on one.
  ///
  /// - Throws: the first thing that is wrong, one line each.
  public func run() throws {
    let loaded = try LoadedPairModel(options.checkpoint, threads: options.threads)
    let ids = try loaded.tokens.encode(options.query)
    guard !ids.isEmpty, ids.count < loaded.model.config.text.context else {
      throw TrainError(
        "'\(options.query.prefix(40))': \(ids.count) tokens, expected 1 to \(loaded.model.config.text.context - 1); write another text"
      )
    }
    let files = try RetrieveSession.pictures(in: options.images)
    let embedder = PairEmbedder(model: loaded.model, tokens: loaded.tokens, engine: loaded.engine, batch: 64)
    let query = embedder.texts([ids], beforeBatch: {}).vectors[0]
    var found: [(file: String, similarity: Float)] = []
    for start in stride(from: 0, to: files.count, by: embedder.batch) {
      let part = files[start..<min(start + embedder.batch, files.count)]
      let pixels = Tensor.stacked(try part.map { loaded.input(try RGBImage(contentsOf: $0)) })
      let vectors = embedder.samples(pixels, of: VisionModality.name)
      found += zip(part, vectors).map { ($0, PairEmbedder.similarity(query, $1)) }
    }
    if let bad = found.first(where: { !$0.similarity.isFinite }) {
      throw TrainError(
        "\(loaded.file)", field: "the similarity of \(bad.file)", found: "\(HumanFormat.exact(bad.similarity))",
        expected: "a finite number", remedy: "the model has diverged, use an earlier checkpoint")
    }
    let best = found.sorted { ($1.similarity, $0.file) < ($0.similarity, $1.file) }.prefix(options.count)
    for (place, one) in best.enumerated() {
      human.line("\(place + 1)  \(HumanFormat.fixed(Double(one.similarity), 3))  \(one.file)")
    }
    let sheet = try ContactSheet().image(best.map { try RGBImage(contentsOf: $0.file) }).png()
    try DurableFile.write(sheet, to: options.sheet)
    human.line("\(options.sheet): the best \(best.count) of \(files.count) pictures")
    guard options.printsJSON else { return }
    output.line(
      JSONValue.object([
        "query": .string(options.query), "gallery": .int(files.count), "sheet": .string(options.sheet),
        "checkpoint": .string(loaded.file),
        "images": .array(
          best.map { .object(["image": .string($0.file), "similarity": .double(Double($0.similarity))]) }),
      ]).line)
  }

  /// All PNG files below a folder, sorted.
  private static func pictures(in folder: String) throws -> [String] {
    let files = try FolderWalk(folder).files.filter(ImageFormat.reads).sorted()
      .map { FilePath.join(folder, $0) }
    guard !files.isEmpty else {
      throw TrainError(
        folder, found: "no \(ImageFormat.names) files in it", expected: "a folder of pictures",
        remedy: "name another one")
    }
    return files
  }
}
