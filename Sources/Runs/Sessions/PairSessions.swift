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
  let checkpoint: LoadedCheckpoint
  var file: String { checkpoint.file }
  let engine: Engine
  let normalization: PixelNormalization

  /// - Parameter checkpoint: a file, a run's folder, or nil for the latest run.
  /// - Throws: `HDF5Error` or `TrainError` for a file that is missing, damaged, or holds another kind of model.
  init(_ checkpoint: String?, threads: Int?) throws {
    let loaded = try LoadedCheckpoint(RunFolder.checkpoint(at: checkpoint, task: TaskKind.multimodal.name))
    self.checkpoint = loaded
    let config = loaded.info.config
    guard config.model.kind == .multimodal else {
      throw TrainError(
        loaded.file, found: "a checkpoint of the task \(loaded.info.task)",
        expected: "a model of images and texts",
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
