import MMoETensor

/// Rows of a table by token, plus learned positions where the model has them.
struct TokenEmbedding {
  let table: Parameter
  private let positions: Parameter?
  var parameters: [Parameter] { [table, positions].compactMap { $0 } }

  init(_ store: ParameterStore, _ config: ModelConfig) {
    let text = config.text
    table = store.table("token_embedding", .embeddings, [text.vocabulary, config.width], decays: true)
    positions =
      text.positions == .learned
      ? store.table("position_embedding", .embeddings, [text.context, config.width], decays: true) : nil
  }

  /// Sequences of one length.
  ///
  /// - Parameters: ids: B · T of them; sequence: T; first: the position of each sequence's first token.
  /// - Returns: `[B · T, d]`.
  func callAsFunction(_ ids: [Int32], sequence: Int, first: Int = 0, _ tape: Tape) -> Tensor {
    tape.embedding(ids, table: table, positions: positions, sequence: sequence, first: first)
  }

  /// Sequences of different lengths, side by side.
  ///
  /// - Parameter places: the position of each token.
  /// - Returns: `[ids, d]`.
  func callAsFunction(_ ids: [Int32], positions places: [Int32], _ tape: Tape) -> Tensor {
    let rows = tape.embedding(ids, table: table, sequence: ids.count)
    guard let positions else { return rows }
    return tape.add(rows, tape.embedding(places, table: positions, sequence: ids.count))
  }
}

/// Logits of the next token, by a weight `[V, d]` of its own or the token embedding's.
struct LanguageHead {
  private let weight: Parameter
  /// Its own parameters; none where it is tied.
  let parameters: [Parameter]

  /// - Parameters: path: of a weight of its own; width: d; embedding: what a tied head is.
  init(
    _ store: ParameterStore, _ path: String, _ text: TextConfig, width: Int, embedding: TokenEmbedding
  ) {
    weight =
      text.tiedHead ? embedding.table : store.weight(path + ".weight", .head, [text.vocabulary, width])
    parameters = text.tiedHead ? [] : [weight]
  }

  /// Adds the mean cross-entropy of next tokens to the tape; the logits are never held as a whole.
  ///
  /// - Parameters:
  ///   - targets: one for each of `rows`, −1 where none counts.
  ///   - divisor: as in `Tape.crossEntropy`.
  ///   - weight: of this term in the objective.
  /// - Returns: the mean over counted tokens, and each token's loss, in nats.
  func loss(
    _ rows: Tensor, targets: [Int32], over divisor: Double?, weight factor: Float, _ tape: Tape
  ) -> (mean: Double, losses: [Float]) {
    tape.projectedCrossEntropy(rows, head: weight, targets: targets, over: divisor, weight: factor)
  }

  /// Logits `[rows, V]`.
  func logits(_ rows: Tensor, _ tape: Tape) -> Tensor { tape.linear(rows, weight: weight, name: "head") }

  /// Logits `[1, V]` of the last row.
  func lastLogits(_ rows: Tensor, _ tape: Tape) -> Tensor {
    let d = rows.columns
    let last = Tensor(uninitialized: [1, d])
    last.pointer.update(from: rows.pointer + (rows.rows - 1) * d, count: d)
    return logits(last, tape)
  }
}
