import Foundation
import MMoEConfig
import MMoEData
import MMoEFiles
import MMoEModels
import MMoEParallel
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
  /// The ranks that share out its experts; nil = this process has all.
  let team: RankTeam?
  private let normalization: PixelNormalization

  /// - Parameters:
  ///   - checkpoint: a file, a run's folder, or nil for the latest run.
  ///   - expertParallel: ranks that share out the experts; 0 = as many as ranks and experts allow.
  /// - Throws: `HDF5Error`, `TrainError` or `RunError` for a file that is missing, damaged, or holds another kind of model.
  init(_ checkpoint: String?, threads: Int?, expertParallel: Int, _ run: CommandRun) throws {
    let loaded = try LoadedCheckpoint(
      run.agreed { try RunFolder.checkpoint(at: checkpoint, task: TaskKind.multimodal.name) })
    // Not among the answers, which are lines for programs too.
    if checkpoint == nil { run.errors.line("checkpoint \(oneLine(loaded.file))") }
    self.checkpoint = loaded
    let config = loaded.info.config
    guard config.model.kind == .multimodal else {
      throw RunError(
        loaded.file, found: "a checkpoint of the task \(loaded.info.task)",
        expected: "a model of several modalities", remedy: "give one made by `mmoe train --task multimodal`")
    }
    var (tensor, parallel) = (TensorConfig(), ParallelConfig())
    (tensor.threads, parallel.expert) = (threads, expertParallel)
    engine = try run.engine(tensor)
    team = try run.team(parallel, config.model, engine)
    tokens = try CaptionTokens(TokenizerAttachments.load(loaded.info.attachments))
    normalization = config.data.pixelNormalization
    model = try MultimodalTransformer(
      config.model, seed: nil, engine: engine, dispatcher: team?.dispatcher ?? LocalDispatcher())
    try loaded.restore(model)
  }

  /// Files of a modality as the model reads them, `[n, channels, height, width]`.
  ///
  /// - Throws: `DataError` naming a file that cannot be decoded; `RunError` for a modality without a format of files.
  func samples(_ files: [String], of modality: any SampledModality) throws -> Tensor {
    guard let format = SampleFormat.registry[modality.sample] else {
      throw RunError(
        file, found: "samples called \(modality.sample)", expected: SampleFormat.registry.listing,
        remedy: "register how their files are read")
    }
    return try format.samples(files, shape: modality.shape(model.config), normalization: normalization)
  }

  /// The modality of a file, by its name.
  ///
  /// - Throws: `RunError` for a file of no format that the model reads.
  func modality(of path: String) throws -> any SampledModality {
    let known = model.config.sampledModalities.compactMap { modality in
      SampleFormat.registry[modality.sample].map { (modality, format: $0) }
    }
    guard let found = known.first(where: { $0.format.reads(path) }) else {
      throw RunError(
        path, found: "no file that \(file) reads, by its name",
        expected: known.map(\.format.kinds).joined(separator: " or "), remedy: "convert it, or name another one")
    }
    return found.0
  }
}

/// `mmoe caption`: what a model says about pictures and recordings.
package struct CaptionSession {
  package struct Options: Sendable {
    /// A file or a run's folder; nil = the latest run.
    package var checkpoint: String?
    package var files: [String] = []
    package var threads: Int?
    /// Ranks that share out the experts; 0 = as many as ranks and experts allow.
    package var expertParallel = 0
    package var printsJSON = false
    package init() {}
  }

  private let options: Options
  private let sinks: CommandSinks

  package init(_ options: Options, _ sinks: CommandSinks = .standard) { (self.options, self.sinks) = (options, sinks) }

  /// Prints a line for each file.
  ///
  /// - Throws: the first thing that is wrong, one line each.
  package func run() throws {
    try CommandRun.onRanks(sinks, printsJSON: options.printsJSON) { run in
      let loaded = try LoadedPairModel(
        options.checkpoint, threads: options.threads, expertParallel: options.expertParallel, run)
      let generator = CaptionGenerator(
        model: loaded.model, tokens: loaded.tokens, engine: loaded.engine, team: loaded.team)
      for path in options.files {
        let modality = try loaded.modality(of: path)
        let text = try generator.caption([(modality.name, loaded.samples([path], of: modality))])
        run.output.line(
          options.printsJSON
            ? JSONValue.object([modality.sample: .string(path), "caption": .string(text)]).line
            : "\(path)  \(oneLine(text))")
      }
    }
  }
}
