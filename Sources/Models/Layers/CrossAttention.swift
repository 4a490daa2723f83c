import MMoETensor

/// A text's attention over the patches of its image, in late fusion: its own norm, queries from the text, keys and values
/// from the other tower, output projection.
package struct CrossAttention {
  let norm: Norm
  let query: Linear
  let keyValue: Linear
  let proj: Linear
  let heads: Int

  /// - Parameter context: width of the other tower.
  init(_ store: ParameterStore, _ path: String, _ config: ModelConfig, context: Int) {
    heads = config.heads
    norm = Norm(store, path + ".norm", config)
    query = Linear(
      store, path + ".query", .attention, in: config.width, out: config.width, bias: config.bias, adapter: .attention)
    keyValue = Linear(
      store, path + ".key_value", .attention, in: context, out: 2 * config.width, bias: config.bias, adapter: .attention
    )
    proj = Linear(
      store, path + ".proj", .attention, in: config.width, out: config.width, bias: config.bias,
      scale: config.residualScale,
      adapter: .attention)
  }

  /// Keys and values `[rows, 2 d]` of the other tower's rows.
  func keyValues(_ context: Tensor, _ tape: Tape) -> Tensor { keyValue(context, tape, name: "cross keys") }

  /// - Returns: `x` with what its rows found added; rows without an image stay as they are.
  func callAsFunction(_ x: Tensor, _ keyValues: Tensor, _ pairs: CrossPairs, _ tape: Tape) -> Tensor {
    let q = query(norm(x, tape), tape, name: "cross query")
    let mixed = tape.crossAttention(q, keyValues: keyValues, pairs: pairs, heads: heads)
    guard pairs.reduce(0, { $0 + $1.queries.count }) < x.rows else {
      return proj(mixed, tape, residual: x, name: "proj")
    }
    // The projection's bias is for rows that read something.
    let places = pairs.flatMap { $0.queries.map(Int32.init) }
    let found = proj(tape.selectRows(mixed, places), tape, name: "proj")
    return tape.add(x, tape.placeRows(found, at: places, of: x.rows))
  }
}

/// Which rows of the text read which rows of the images.
package typealias CrossPairs = [(queries: Range<Int>, keys: Range<Int>)]

/// What the blocks with cross-attention read: keys and values of each, in the order of these blocks.
package struct CrossInput {
  let keyValues: [Tensor]
  let pairs: CrossPairs
}
