extension RunConfig {
  /// What presets, checkpoints and command lines of earlier versions call otherwise.
  static let renamedKeys = [
    RenamedKey("moe.renormalise", now: "moe.renormalize"),
    RenamedKey("moe.renormalise_single", now: "moe.renormalize_single"),
    RenamedKey("moe.routing", now: "moe.router", values: ["learned": "softmax"]),
    RenamedKey("data.normalisation", now: "data.normalization"),
    RenamedKey("text.validation_share", now: "data.validation_share"),
    RenamedKey("parallel.wire", values: ["bfloat16": "bf16"]),
  ]

  /// The keys that checkpoints, presets and `config.yaml` of earlier versions may still hold.
  static let retiredKeys = [
    RetiredKey(
      "parallel.host_ranks", default: "0",
      "rows travel from rank to rank, since gathering them on a host first took as long")
  ]
}
