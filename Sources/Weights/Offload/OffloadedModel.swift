import MMoEData
import MMoEFiles
import MMoEModels
import MMoEReport
import MMoETensor
import MMoETrain

/// A language model whose routed experts stay in its checkpoint.
package struct OffloadedModel {
  package let language: LoadedLanguageModel
  package let cache: ExpertCache

  /// Nil in the mode `none`.
  ///
  /// - Parameter experts: how many may be in memory; nil = a quarter of them.
  /// - Throws: `WeightsError` for a model without experts or a folder of another layout; what opening the checkpoint throws.
  package init?(_ path: String, _ mode: OffloadMode, experts: Int?, engine: Engine) throws {
    guard mode != .none else { return nil }
    guard !HubFolder.isOne(path) else {
      throw WeightsError(
        path, found: "--offload reads experts from a checkpoint of `mmoe train`", remedy: "use --offload none")
    }
    let checkpoint = try LoadedCheckpoint(RunFolder.checkpoint(at: path))
    guard checkpoint.info.config.model.moe.variant != "dense" else {
      throw WeightsError(path, found: "the model is dense and has no experts to offload", remedy: "use --offload none")
    }
    guard checkpoint.info.config.model.lora.rank == 0 else {
      throw WeightsError(
        path, field: "lora.rank", found: "\(checkpoint.info.config.model.lora.rank)",
        expected: "0: experts are read from the file as they are",
        remedy: "merge them first with `mmoe checkpoint merge-lora`")
    }
    let dispatcher = OffloadDispatcher()
    language = try LoadedLanguageModel(checkpoint, engine: engine, dispatcher: dispatcher, leaving: \.isOffloadable)
    let places = try ExpertFile.places(of: language.model.parameters, in: checkpoint)
    let all = places.values.reduce(0) { $0 + $1.count }
    cache = ExpertCache(
      mode, capacity: experts ?? max(1, all / 4), places: places, file: try ExpertFile(checkpoint.file))
    dispatcher.cache = cache
  }
}
