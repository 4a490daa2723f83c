extension RunConfig {
  /// What a checkpoint's configuration says for a path that is in its run's record: the name of that file.
  package static let recorded = "run.json"
  /// The keys that name data.
  package static let dataPaths: [(name: String, path: WritableKeyPath<RunConfig, String?> & Sendable)] = [
    ("mixture.images", \.mixture.images), ("mixture.text", \.mixture.text),
  ]

  /// What a checkpoint has of the configuration: nothing that says where things are or how many ranks there were. The record
  /// of the run and the checkpoint's attachments have what is missing.
  package var portable: RunConfig {
    var result = self
    // Ranks are how it was computed, not what: any number of them may go on.
    result.parallel = ParallelConfig()
    result.tokenizer.path = nil
    for (_, path) in RunConfig.dataPaths where result[keyPath: path] != nil {
      result[keyPath: path] = RunConfig.recorded
    }
    return result
  }
}
