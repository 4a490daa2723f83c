import MMoETensor

extension ForwardPass {
  /// Runs a pass from which nothing is learned, as evaluation, generation and retrieval do.
  ///
  /// - Parameter coordinator: the ranks that compute it together; nil = this process alone.
  /// - Throws: what `body` throws, and what a router or a layer from outside of the package did wrong.
  package static func evaluating<Result>(
    _ engine: Engine, _ coordinator: (any PassCoordinator)? = nil, _ body: (ForwardPass) throws -> Result
  ) throws -> Result {
    let pass = ForwardPass(Tape(engine, recording: false), training: false, coordinator: coordinator)
    let result = try body(pass)
    try pass.tape.requireNoFailure()
    return result
  }
}
