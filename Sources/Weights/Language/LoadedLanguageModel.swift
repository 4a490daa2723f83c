import MMoEData
import MMoEFiles
import MMoEModels
import MMoEParallel
import MMoEReport
import MMoETensor
import MMoETrain

/// A language model with its tokenizer, from a checkpoint or a folder of Hugging Face's layout alone.
package struct LoadedLanguageModel {
  package let model: GPT
  package let tokenizer: any Tokenizer
  /// The ranks that share out its experts; every one computes the same. Nil = this process has all.
  package let team: RankTeam?

  /// - Parameter makeTeam: the ranks of a model; it may be asked once.
  /// - Throws: what is wrong with the file or folder, in one line.
  package init(_ path: String, engine: Engine, makeTeam: (ModelConfig) throws -> RankTeam? = { _ in nil }) throws {
    if HubFolder.isOne(path) {
      try self.init(hub: path, engine: engine, makeTeam: makeTeam)
    } else {
      let checkpoint = try LoadedCheckpoint(RunFolder.checkpoint(at: path))
      let model = checkpoint.info.config.model
      try self.init(checkpoint, engine: engine, team: model.kind == .gpt ? makeTeam(model) : nil)
    }
  }

  private init(hub path: String, engine: Engine, makeTeam: (ModelConfig) throws -> RankTeam?) throws {
    let hub = try HubModel(path)
    guard hub.model.kind == .gpt else {
      throw WeightsError(path, found: "a model of images", expected: "a language model", remedy: "give a folder of one")
    }
    guard let tokenizer = try hub.tokenizer() else {
      throw WeightsError(
        path, found: "no tokenizer", expected: "tokenizer.json, or vocab.json with merges.txt, beside config.json",
        remedy: "fetch it too")
    }
    team = try makeTeam(hub.model)
    self.tokenizer = tokenizer
    model = try GPT(hub.model, seed: nil, engine: engine, dispatcher: team?.dispatcher ?? LocalDispatcher())
    try hub.fill(model.parameters)
  }

  /// - Parameters:
  ///   - team: the ranks that share out the experts.
  ///   - dispatcher: how rows and experts come together; nil = as the team does, or here.
  ///   - leaves: which parameters stay in the file.
  /// - Throws: `HDF5Error`, `TrainError` or `WeightsError` for a file that is damaged or holds another kind of model.
  package init(
    _ checkpoint: LoadedCheckpoint, engine: Engine, team: RankTeam? = nil, dispatcher: (any Dispatcher)? = nil,
    leaving leaves: (Parameter) -> Bool = { _ in false }
  ) throws {
    let file = checkpoint.file
    guard checkpoint.info.config.model.kind == .gpt else {
      throw WeightsError(
        file, found: "a checkpoint of the task \(checkpoint.info.task)", expected: "a language model",
        remedy: "give one made by `mmoe train --task lm`")
    }
    self.team = team
    tokenizer = try TokenizerAttachments.load(checkpoint.info.attachments)
    model = try GPT(
      checkpoint.info.config.model, seed: nil, engine: engine,
      dispatcher: dispatcher ?? team?.dispatcher ?? LocalDispatcher())
    try checkpoint.restore(model, leaving: leaves)
    // One weight is read faster than three, and a token at a time is bound by reading.
    for parameter in model.parameters { parameter.mergeAdapter(engine) }
  }

  /// The ids of a prompt; of an empty one, what a document begins after.
  ///
  /// - Throws: `WeightsError` when the model does not know an id.
  package func promptIDs(_ text: String) throws -> [Int32] {
    let ids = try text.isEmpty ? [tokenizer.endOfText ?? tokenizer.encode("\n")[0]] : tokenizer.encode(text)
    let known = model.config.text.vocabulary
    if let id = ids.first(where: { Int($0) >= known }) {
      throw WeightsError("token id \(id): the model's vocabulary has \(known); the checkpoint's tokenizer does not fit")
    }
    return ids
  }
}
