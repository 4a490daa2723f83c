extension ModelOperation {
  /// What `PatchEmbedding` does with one sample.
  static func patchEmbedding(_ grid: PatchGrid, width d: Int) -> [ModelOperation] {
    let (patch, patches, tokens) = (grid.patchSize, grid.rows * grid.columns, grid.tokens)
    return [
      .moving("patches", rows: patches, width: patch, forward: 2 * patch, backward: 0),
      .product("embedding", rows: patches, in: patch, out: d, bias: true, isInput: true),
      // Kept are the patches, and their sum with the positions.
      .moving(
        "positions", rows: tokens, width: d, forward: 2 * d, backward: 2 * d,
        parameters: tokens * d + (grid.hasClassToken ? d : 0), keeps: patch + d),
    ]
  }
}
