import Foundation
import MMoEModels
import MMoEParallel
import MMoETensor
import MMoETrain

@testable import MMoEReport

private func plan(
  _ bench: Bench, tokens: Int, k: Int, experts: Int, parts: Int = 1
) -> DispatchPlan {
  let random = CounterRandom(seed: 5, purpose: .benchmark, a: UInt64(bench.world.rank))
  let choices = (0..<tokens * k).map { i -> Int32 in
    // The last rank sends to expert 0 alone.
    bench.world.rank == bench.world.size - 1 && bench.world.size > 2
      ? 0 : Int32(random.uniform(UInt64(i)) * Float(experts)) % Int32(experts)
  }
  return DispatchPlan(
    experts: choices, tokens: tokens, k: k, expertCount: experts,
    parts: RouteParts(parts, expertsOfRank: experts / bench.world.size))
}

private func noise(_ shape: [Int], rank: Int, seed: UInt64) -> Tensor {
  let random = CounterRandom(seed: seed, purpose: .benchmark, a: UInt64(rank))
  let tensor = Tensor(uninitialized: shape)
  for i in 0..<tensor.count { tensor.pointer[i] = random.normal(UInt64(i)) }
  return tensor
}

private func dot(_ a: Tensor, _ b: Tensor) -> Double {
  zip(a.values, b.values).reduce(0) { $0 + Double($1.0) * Double($1.1) }
}

/// Start and wait are each other's adjoints: ⟨F x, y⟩ over all ranks equals ⟨x, Fᵀ y⟩ over all ranks, with F the way to the
/// experts; and the way there and back is the identity.
func checkAdjoint(_ bench: Bench) throws {
  // The widest rows are several messages from rank to rank, and one a row.
  for (tokens, k, parts, width) in [
    (17, 1, 1, 6), (40, 2, 1, 6), (40, 2, 3, 6), (3, 1, 2, 6), (60, 2, 3, 3001), (5, 2, 1, 17_001),
  ] {
    let dispatcher = ExpertParallelDispatcher(bench.world, wire: .float32, engine: bench.engine)
    let plan = plan(bench, tokens: tokens + bench.world.rank, k: k, experts: 4, parts: parts)
    let x = noise([plan.tokens, width], rank: bench.world.rank, seed: 1)
    let tape = Tape(bench.engine, recording: true)
    tape.watch(x)
    let flight = dispatcher.beginDispatch(x, plan, tape)
    var (forward, seeds) = (0.0, [(Tensor, Tensor)]())
    for partIndex in 0..<parts {
      let arrived = flight.endDispatch(partIndex, tape)
      let y = noise(arrived.rows.shape, rank: bench.world.rank, seed: UInt64(partIndex) + 2)
      forward += dot(arrived.rows, y)
      seeds.append((arrived.rows, y))
    }
    tape.recordPassage { for (rows, y) in seeds { tape.accumulate(y, into: rows) } }
    tape.backward()
    let backward = dot(x, x.gradient ?? Tensor.zeros(x.shape))
    let sums = bench.world.allReduce([forward, backward])
    bench.require(
      abs(sums[0] - sums[1]) < 1e-4 * max(abs(sums[0]), 1),
      "⟨F x, y⟩ is \(sums[0]), ⟨x, Fᵀ y⟩ is \(sums[1]) with k = \(k), \(parts) parts, width \(width)")

    let there = dispatcher.beginDispatch(x, plan, Tape(bench.engine, recording: false))
    let quiet = Tape(bench.engine, recording: false)
    for partIndex in 0..<parts { there.beginCombine(there.endDispatch(partIndex, quiet), partIndex, quiet) }
    let back = quiet.combineRows(
      there.endCombine(quiet), gates: Tensor(repeating: 1 / Float(k), shape: [plan.tokens, k]),
      position: plan.position, base: nil)
    bench.require(
      relativeDifference(back.values[...], x.values[...]) < 1e-6, "there and back is not the identity")
  }
}

/// Each wire format's error, there and back.
func checkWire(_ bench: Bench) throws {
  for (wire, bound) in [(WireFormat.float32, 0.0), (.bf16, 2.0 / 256), (.int8, 2.2 / 254)] {
    let dispatcher = ExpertParallelDispatcher(bench.world, wire: wire, engine: bench.engine)
    for width in [1, 7, 64] {
      let plan = plan(bench, tokens: 60, k: 1, experts: 8)
      let x = noise([60, width], rank: bench.world.rank, seed: 9)
      let tape = Tape(bench.engine, recording: false)
      let flight = dispatcher.beginDispatch(x, plan, tape)
      flight.beginCombine(flight.endDispatch(0, tape), 0, tape)
      let back = tape.combineRows(
        flight.endCombine(tape), gates: Tensor(repeating: 1, shape: [60, 1]), position: plan.position,
        base: nil)
      var worst = 0.0
      for t in 0..<60 {
        let rows = (t * width..<(t + 1) * width)
        let top = rows.map { abs(x.values[$0]) }.max()!
        for i in rows { worst = max(worst, Double(abs(back.pointer[i] - x.pointer[i]) / top)) }
      }
      bench.require(worst <= bound, "\(wire): error \(worst) of the row's maximum, bound \(bound)")
      let anyError = bench.world.allReduce([worst], .maximum)[0]
      bench.require(
        wire == .float32 || anyError > 0 || width == 1, "\(wire): no error at all: nothing was encoded")
    }
  }
}

func checkCollectives(_ bench: Bench) throws {
  let (world, rank, size) = (bench.world, bench.world.rank, bench.world.size)
  bench.require(world.allReduce([Double(rank), 1]) == [Double(size * (size - 1) / 2), Double(size)], "sum")
  bench.require(world.allReduce([Double(rank)], .maximum) == [Double(size - 1)], "maximum")
  bench.require(world.allReduce([Double(rank)], .minimum) == [0], "minimum")
  // A long sum goes in pieces, the last of them shorter.
  for (count, piece) in [(11, 5), (10, 5), (3, 5), (1, 5)] {
    let values = Tensor((0..<count).map { Float(rank + 1) * Float($0) }, shape: [count])
    world.wait(world.startSum(values, "a sum in pieces", piece: piece))
    let ranks = Float(size * (size + 1) / 2)
    bench.require(values.values == (0..<count).map { ranks * Float($0) }, "\(count) numbers in pieces of \(piece)")
  }
  let gathered = world.allGather(Array(repeating: UInt8(rank), count: rank * 3))
  bench.require(gathered == (0..<size).map { Array(repeating: UInt8($0), count: $0 * 3) }, "gather")
  bench.require(world.broadcast(rank == 1 ? [7, 8, 9] : [], from: 1) == [7, 8, 9], "broadcast")
  let grid = try ProcessGrid(world, expertParallel: 2)
  bench.require(grid.expertGroup.size == 2 && grid.replicas.size == size / 2, "grid's sizes")
  bench.require(
    grid.expertGroup.allReduce([Double(rank)]) == [Double(rank / 2 * 4 + 1)], "a group's ranks are neighbors")
  do {
    _ = try ProcessGrid(world, expertParallel: size + 1)
    bench.require(false, "a grid that does not divide was made")
  } catch is ParallelError {}
}

/// Rank 1 stands still; the others must notice.
func checkStall(_ bench: Bench) throws {
  if bench.world.rank == 1 { sleep(60) }
  _ = bench.world.allReduce([1])
}

/// The main thread of rank 0 does not come back while it waits: a signal's handler holds it, as a call into the message
/// library could.
func checkHang(_ bench: Bench) throws {
  guard bench.world.rank == 0 else {
    sleep(60)
    return
  }
  signal(SIGUSR1) { _ in sleep(60) }
  // Longer than a busy machine takes to bring the signal.
  bench.world.timeout = 6
  let main = pthread_self()
  Thread {
    sleep(1)
    pthread_kill(main, SIGUSR1)
  }.start()
  _ = bench.world.allReduce([1])
}

/// Rank 1 dies without a word.
func checkDeath(_ bench: Bench) throws {
  // As a training run does: the launcher's SIGTERM to the others must not end them before they have spoken.
  Interrupt.install()
  if bench.world.rank == 1 { kill(getpid(), SIGKILL) }
  _ = bench.world.allReduce([1])
}
