import TestSupport
import Testing

@testable import MMoETensor

/// Where large buffers stand, and that adjoints hold on to no more than they need.
@Suite struct BufferTests {
  /// A random sequence of takes and gives: buffers never overlap, the second run of the same sequence needs no more
  /// than the first, and what was given back is one piece again.
  @Test func arenaReusesAndJoins() throws {
    var arena = BufferArena(capacity: 1 << 30)
    let random = CounterRandom(seed: 1, purpose: .test)
    func step() throws {
      var live: [(address: UnsafeMutableRawPointer, bytes: Int)] = []
      for i in 0..<300 {
        if live.count > 20 || (!live.isEmpty && random.uniform(UInt64(2 * i)) < 0.45) {
          let index = Int(random.uniform(UInt64(2 * i + 1)) * Float(live.count))
          let (address, bytes) = live.remove(at: min(index, live.count - 1))
          arena.give(address, bytes)
        } else {
          let bytes = 1 + Int(random.uniform(UInt64(2 * i + 1)) * 3e6)
          let address = try #require(arena.take(bytes)).address
          #expect(UInt(bitPattern: address) % 64 == 0)
          for other in live {
            #expect(address + bytes <= other.address || other.address + other.bytes <= address)
          }
          address.storeBytes(of: 1, as: UInt8.self)
          (address + bytes - 1).storeBytes(of: 1, as: UInt8.self)
          live.append((address, bytes))
        }
      }
      for (address, bytes) in live { arena.give(address, bytes) }
    }
    try step()
    let grown = arena.grown
    try step()
    #expect(arena.grown == grown)
    let whole = try #require(arena.take(grown))
    #expect(!whole.grew)
    #expect(arena.take(1 << 30) == nil, "beyond the capacity")
  }

  /// Gradients through values that are computed again in the backward pass, in place of the ones that were let go.
  @Test(arguments: [true, false]) func rebuiltInputs(isLayerNorm: Bool) {
    let engine = try! Engine(threads: 2)
    let (tokens, d, hidden, k) = (20, 12, 16, 2)
    let x = randomTensor([tokens, d], seed: 1)
    let (gamma, beta) = (randomParameter("gamma", [d], seed: 2), randomParameter("beta", [d], seed: 3))
    let w = randomParameter("w", [d, d], seed: 4)
    let w1 = randomParameter("w1", [2, hidden, d], seed: 5)
    let w2 = randomParameter("w2", [2, d, hidden], seed: 6)
    let factors = randomTensor([tokens * k, d], seed: 7)
    let linearFactors = randomTensor([tokens, d], seed: 8)
    // Both experts get every token.
    let source = (0..<tokens * k).map { Int32($0 % tokens) }
    let position = (0..<tokens).flatMap { [Int32($0), Int32($0 + tokens)] }
    func forward(_ tape: Tape) -> Tensor {
      let normed =
        isLayerNorm
        ? tape.layerNorm(x, weight: gamma, bias: beta) : tape.rmsNorm(x, weight: gamma, epsilon: 1e-5)
      tape.innerProduct(tape.linear(normed, weight: w), with: linearFactors)
      let rows = tape.permuteRows(normed, source: source, position: position, k: k, capacity: tokens * k)
      let y = tape.feedForward(rows, offsets: [0, tokens, 2 * tokens], w1: w1, b1: nil, w2: w2, b2: nil)
      tape.innerProduct(y, with: factors)
      return normed
    }
    let parameters = [gamma, w, w1, w2] + (isLayerNorm ? [beta] : [])
    for check in checkGradients(
      engine: engine, parameters: parameters, inputs: [("x", x)], step: 3e-3, forward: { _ = forward($0) })
    {
      #expect(check.error < 1e-2, "\(check)")
    }
    let tape = Tape(engine, recording: true)
    weak var normed = forward(tape)
    #expect(normed == nil, "the tape keeps what can be computed again")
    tape.backward()
  }

  /// Between steps a gradient has no storage.
  @Test func gradientsGiveTheirStorageBack() {
    let engine = try! Engine(threads: 1)
    let parameter = randomParameter("w", [300, 300], seed: 1)
    let x = randomTensor([4, 300], seed: 2)
    let tape = Tape(engine, recording: true)
    tape.innerProduct(tape.linear(x, weight: parameter), with: randomTensor([4, 300], seed: 3))
    tape.backward()
    weak var gradient = parameter.gradient
    #expect(gradient != nil && parameter.hasGradient)
    parameter.clearGradient()
    #expect(gradient == nil && !parameter.hasGradient)
  }
}
