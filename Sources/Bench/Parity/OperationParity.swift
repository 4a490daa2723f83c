import MMoETensor

/// Single operations. Which one a case is follows from its inputs.
enum OperationParity {
  static func run(_ reference: ParityCase, _ engine: Engine) throws -> ParityReport {
    if reference.has("inputs/attn.qkv.weight") { return try attention(reference, engine) }
    if reference.has("inputs/gamma") { return try layerNorm(reference, engine) }
    if reference.has("inputs/parts_a") { return try unevenCrossEntropy(reference, engine) }
    if reference.has("inputs/targets") { return try crossEntropy(reference, engine) }
    if reference.has("inputs/p0") { return try OptimizerParity.run(reference, engine) }
    return try gelu(reference, engine)
  }

  private static func parameter(_ reference: ParityCase, _ path: String) throws -> Parameter {
    Parameter(path: path, role: .mlp, value: try reference.tensor("inputs/\(path)"), decays: true)
  }

  private static func compareGradients(
    _ report: inout ParityReport, _ reference: ParityCase, _ tensors: [(String, Tensor?)]
  ) throws {
    for (name, gradient) in tensors {
      report.compare(
        "grads/\(name)", gradient?.values ?? [], try reference.doubles("grads/\(name)"))
    }
  }

  /// The activation alone is the MLP with identity matrices: multiplying by 1 and adding 0 is exact.
  private static func gelu(_ reference: ParityCase, _ engine: Engine) throws -> ParityReport {
    let x = try reference.tensor("inputs/x")
    let n = x.count
    let row = Tensor(x.values, shape: [1, n])
    let identity = Tensor.zeros([n, n])
    for i in 0..<n { identity.pointer[i * n + i] = 1 }
    func weight(_ name: String) -> Parameter { Parameter(path: name, role: .mlp, value: identity, decays: true) }
    func bias(_ name: String) -> Parameter {
      Parameter(path: name, role: .mlp, value: Tensor.zeros([n]), decays: false)
    }
    let tape = Tape(engine, recording: true)
    tape.watch(row)
    let y = tape.feedForward(
      row, offsets: [0, 1], w1: weight("w1"), b1: bias("b1"), w2: weight("w2"), b2: bias("b2"))
    tape.innerProduct(y, with: try reference.tensor("inputs/dy"))
    tape.backward()
    var report = ParityReport()
    report.compare("y", y.values, try reference.doubles("outputs/y"))
    try compareGradients(&report, reference, [("x", row.gradient)])
    return report
  }

  private static func layerNorm(_ reference: ParityCase, _ engine: Engine) throws -> ParityReport {
    let x = try reference.tensor("inputs/x")
    let (gamma, beta) = (try parameter(reference, "gamma"), try parameter(reference, "beta"))
    let tape = Tape(engine, recording: true)
    tape.watch(x)
    let y = tape.layerNorm(
      x, weight: gamma, bias: beta, epsilon: Float(try reference.number("eps")))
    tape.innerProduct(y, with: try reference.tensor("inputs/dy"))
    tape.backward()
    var report = ParityReport()
    report.compare("y", y.values, try reference.doubles("outputs/y"))
    try compareGradients(
      &report, reference, [("x", x.gradient), ("gamma", gamma.gradient), ("beta", beta.gradient)])
    return report
  }

  private static func crossEntropy(
    _ reference: ParityCase, _ engine: Engine
  ) throws -> ParityReport {
    let logits = try reference.tensor("inputs/logits")
    let tape = Tape(engine, recording: true)
    tape.watch(logits)
    let probabilities = tape.gate(logits.copy(), k: 1, renormalize: false).probabilities
    let result = tape.crossEntropy(logits, targets: try reference.integers("inputs/targets"))
    tape.backward()
    var report = ParityReport()
    report.compare("loss", [result.loss], try reference.doubles("outputs/loss"))
    report.compare("loss_per_row", result.losses, try reference.doubles("outputs/loss_per_row"))
    report.compare("probs", probabilities.values, try reference.doubles("outputs/probs"))
    try compareGradients(&report, reference, [("logits", logits.gradient)])
    return report
  }

  /// The same loss and gradients in whatever micro-batches the rows come, some of them without a target or a row.
  private static func unevenCrossEntropy(_ reference: ParityCase, _ engine: Engine) throws -> ParityReport {
    let logits = try reference.tensor("inputs/logits")
    let ignored = Int32(clamping: try reference.integer("ignored"))
    let targets = try reference.integers("inputs/targets").map { $0 == ignored ? -1 : $0 }
    let counted = Double(targets.count { $0 >= 0 })
    var report = ParityReport()
    report.compare("counted", [counted], try reference.doubles("outputs/counted"))
    for name in ["whole", "parts_a", "parts_b"] {
      let parts = name == "whole" ? [logits.rows] : try reference.integers("inputs/\(name)").map(Int.init)
      var (loss, losses, gradient, first) = (0.0, [Float](), [Float](), 0)
      for rows in parts {
        let range = first..<first + rows
        first = range.upperBound
        guard rows > 0 else { continue }
        let part = Tensor(
          Array(logits.values[range.lowerBound * logits.columns..<range.upperBound * logits.columns]),
          shape: [rows, logits.columns])
        let tape = Tape(engine, recording: true)
        tape.watch(part)
        let share = Double(parts.count)
        let result = tape.crossEntropy(
          part, targets: Array(targets[range]), over: counted / share, weight: Float(1 / share))
        tape.backward()
        loss += result.loss / share
        losses += result.losses
        gradient += part.gradient?.values ?? []
      }
      report.compare("\(name) loss", [loss], try reference.doubles("outputs/loss"))
      report.compare("\(name) loss_per_row", losses, try reference.doubles("outputs/loss_per_row"))
      report.compare("\(name) grads/logits", gradient, try reference.doubles("grads/logits"))
    }
    return report
  }

  private static func attention(_ reference: ParityCase, _ engine: Engine) throws -> ParityReport {
    let input = try reference.tensor("inputs/x")
    let names = ["attn.qkv.weight", "attn.qkv.bias", "attn.proj.weight", "attn.proj.bias"]
    let parameters = try names.map { try parameter(reference, $0) }
    let x = Tensor(input.values, shape: [input.rows, input.columns])
    let tape = Tape(engine, recording: true)
    tape.watch(x)
    let mixed = tape.attention(
      tape.linear(x, weight: parameters[0], bias: parameters[1]), sequence: input.shape[1],
      heads: try reference.integer("heads"), keyValueHeads: try reference.integer("heads"),
      causal: try reference.flag("causal"))
    let y = tape.linear(mixed, weight: parameters[2], bias: parameters[3])
    tape.innerProduct(y, with: try reference.tensor("inputs/dy"))
    tape.backward()
    var report = ParityReport()
    report.compare("y", y.values, try reference.doubles("outputs/y"))
    try compareGradients(
      &report, reference,
      [("x", x.gradient)] + zip(names, parameters).map { ($0, $1.gradient) })
    return report
  }
}
