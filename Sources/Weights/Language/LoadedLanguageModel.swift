import MMoEData
import MMoEFiles
import MMoEModels
import MMoEReport
import MMoETensor
import MMoETrain

/// A language model with its tokenizer, from a checkpoint or a folder of Hugging Face's layout alone.
package struct LoadedLanguageModel {
  package let model: GPT
  package let tokenizer: any Tokenizer

  /// - Throws: what is wrong with the file or folder, in one line.
  package init(_ path: String, engine: Engine) throws {
    guard HubFolder.isOne(path) else {
      try self.init(LoadedCheckpoint(RunFolder.checkpoint(at: path)), engine: engine)
      return
    }
    let hub = try HubModel(path)
    guard hub.model.kind == .gpt else {
      throw TrainError(path, found: "a model of images", expected: "a language model", remedy: "give a folder of one")
    }
    guard let tokenizer = try hub.tokenizer() else {
      throw TrainError(
        path, found: "no tokenizer", expected: "tokenizer.json, or vocab.json with merges.txt, beside config.json",
        remedy: "fetch it too")
    }
    self.init(model: try GPT(hub.model, seed: nil, engine: engine), tokenizer: tokenizer)
    try hub.fill(model.parameters)
  }

  private init(model: GPT, tokenizer: any Tokenizer) {
    self.model = model
    self.tokenizer = tokenizer
  }

  /// - Parameters:
  ///   - dispatcher: how rows and experts come together.
  ///   - leaves: which parameters stay in the file.
  /// - Throws: `HDF5Error` or `TrainError` for a file that is damaged or holds another kind of model.
  package init(
    _ checkpoint: LoadedCheckpoint, engine: Engine, dispatcher: any Dispatcher = LocalDispatcher(),
    leaving leaves: (Parameter) -> Bool = { _ in false }
  ) throws {
    let file = checkpoint.file
    guard checkpoint.info.config.model.kind == .gpt else {
      throw TrainError(
        file, found: "a checkpoint of the task \(checkpoint.info.task)", expected: "a language model",
        remedy: "give one made by `mmoe train --task lm`")
    }
    let tokenizer = try TokenizerAttachments.load(checkpoint.info.attachments)
    self.init(
      model: try GPT(checkpoint.info.config.model, seed: nil, engine: engine, dispatcher: dispatcher),
      tokenizer: tokenizer)
    try checkpoint.restore(model, leaving: leaves)
    // One weight is read faster than three, and a token at a time is bound by reading.
    for parameter in model.parameters { parameter.mergeAdapter(engine) }
  }

  /// The ids of a prompt; of an empty one, what a document begins after.
  ///
  /// - Throws: `TrainError` when the model does not know an id.
  package func promptIDs(_ text: String) throws -> [Int32] {
    let ids = try text.isEmpty ? [tokenizer.endOfText ?? tokenizer.encode("\n")[0]] : tokenizer.encode(text)
    let known = model.config.text.vocabulary
    if let id = ids.first(where: { Int($0) >= known }) {
      throw TrainError("token id \(id): the model's vocabulary has \(known); the checkpoint's tokenizer does not fit")
    }
    return ids
  }
}
