import Foundation
import MMoEConfig
import MMoEData
import MMoEFiles
import MMoEModels
import MMoETrain

/// `mmoe checkpoint convert`.
package enum CheckpointConversion {
  /// Whether an output of this name is a file, not a folder.
  package static func makesFile(_ name: String) -> Bool { name.hasSuffix(".h5") || name.hasSuffix(".safetensors") }

  /// Writes weights in another format.
  ///
  /// - Parameters:
  ///   - path: a checkpoint, a run's folder, or a folder of Hugging Face's layout.
  ///   - out: `.safetensors`: all arrays under our names, with configuration and names as metadata; `.h5`: a checkpoint
  ///     without optimizer state; otherwise a folder of Hugging Face's layout, which must not exist.
  /// - Returns: a line that says what was written.
  /// - Throws: what is wrong with the source; `WeightsError` for a model that the format cannot hold; the system's reason
  ///   when it cannot be written.
  package static func convert(_ path: String, to out: String) throws -> String {
    let initial = try InitialWeights(path)
    let (source, info) = (initial.source, try info(initial))
    if out.hasSuffix(".h5") {
      try TrainingCheckpoint.write(info, arrays: source.arrays, to: out, values: source.floats)
      return "\(source.arrays.count) arrays in \(out)" + (try vocabularyNote(source))
    }
    if out.hasSuffix(".safetensors") {
      var metadata = [
        "format": "mmoe", "task": info.task, "preset": info.preset, "step": "\(info.step)",
        "config": RunConfig.table.yaml(info.config),
      ]
      for (name, words) in info.vocabulary { metadata[name] = words.joined(separator: "\n") }
      let count = try write(to: out, metadata: metadata) { add in
        for (name, shape) in source.arrays { add(name, shape, try source.floats(name)) }
      }
      return "\(count) tensors in \(out)"
    }
    let export = try HubExport(source.model)
    let folder = try StagedFolder(for: out)
    let tokenizer = try source.tokenizer()
    let config = export.config(classes: source.classes, endOfText: tokenizer?.endOfText)
    try writeFile(folder.path + "/config.json", Array((config.line + "\n").utf8))
    try tokenizer?.save(to: folder.path)
    let count = try write(to: folder.path + "/model.safetensors", metadata: ["format": "pt"]) { add in
      try export.forEachTensor(source.arrays, values: source.floats) { add($0, $1, $2) }
    }
    try folder.commit()
    return "\(export.family.rawValue): \(count) tensors in \(out)" + (try vocabularyNote(source))
  }

  /// What to know of a tokenizer with more tokens than the model has.
  private static func vocabularyNote(_ source: any WeightSource) throws -> String {
    let known = source.model.text.vocabulary
    guard let tokenizer = try source.tokenizer(), tokenizer.vocabularySize > known else { return "" }
    return
      "\nnote: the tokenizer \(tokenizer.fingerprint) has \(tokenizer.vocabularySize) tokens, the model knows \(known) of them; a text with another one is refused (mmoe train --init-from gives the others fresh rows)"
  }

  /// Collects tensors and writes them.
  private static func write(
    to file: String, metadata: [String: String],
    _ fill: ((String, [Int], [Float]) -> Void) throws -> Void
  ) throws -> Int {
    var tensors: [SafetensorsTensor] = []
    defer { for tensor in tensors { tensor.values.deallocate() } }
    try fill { name, shape, values in
      let buffer = UnsafeMutableBufferPointer<Float>.allocate(capacity: values.count)
      _ = buffer.initialize(from: values)
      tensors.append(SafetensorsTensor(name: name, shape: shape, values: UnsafeBufferPointer(buffer)))
    }
    try SafetensorsFile.write(tensors, metadata: metadata, to: file)
    return tensors.count
  }

  /// What a checkpoint of these weights says of itself.
  private static func info(_ initial: InitialWeights) throws -> CheckpointInfo {
    if let info = initial.checkpoint?.info { return info }
    let task = try TaskKind(training: initial.source.model.kind)
    var config = RunConfig()
    try initial.apply(to: &config, task: task, hasPreset: true)
    var vocabulary: [String: [String]] = [:]
    if let classes = initial.source.classes { vocabulary["classes"] = classes }
    let tokenizer = try initial.source.tokenizer()
    if let tokenizer { vocabulary["tokenizer"] = [tokenizer.fingerprint] }
    return CheckpointInfo(
      task: task.name, preset: "imported", config: config, step: 0, best: nil, vocabulary: vocabulary,
      attachments: try tokenizer.map(TokenizerAttachments.make) ?? [:], backend: "imported from \(initial.source.path)")
  }
}
