extension RunConfig {
  /// The keys that checkpoints, presets and `config.yaml` of earlier versions may still hold.
  static let retiredKeys = [
    RetiredKey(
      "parallel.host_ranks", default: "0",
      "rows travel from rank to rank, since gathering them on a host first took as long")
  ]
}
