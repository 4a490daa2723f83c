import MMoEParallel
import MMoETensor

/// How fast ranks exchange rows, and what that costs the cores.
package enum ExchangeBenchmark {
  package struct Row: Codable, Sendable {
    /// Bytes that each rank sends to all others together.
    package let bytes: Int
    /// Median time of one exchange that is awaited at once, seconds.
    package let seconds: Double
    package var bytesPerSecond: Double { Double(bytes) / seconds }
    /// Computing time that an exchange in the background takes away, seconds for each byte sent: the cores copy.
    package let cpuSecondsPerByte: Double
    /// Share of the exchange that computation of twice its length hides; nil where it is over before it is looked at.
    package let hidden: Double?
  }

  /// Measures one size; every rank must call with the same numbers.
  ///
  /// - Parameter bytes: what each rank sends, at least 4 for each other rank.
  package static func measure(
    _ world: Communicator, bytes: Int, repetitions: Int, engine: Engine
  ) -> Row {
    let others = max(world.size - 1, 1)
    let floats = max(1, bytes / 4 / others)
    let send = Storage(count: floats * world.size)
    let receive = Storage(count: floats * world.size)
    let stream = world.duplicate()
    let counts = (0..<world.size).map { $0 == world.rank ? 0 : floats }
    let starts = (0..<world.size).map { $0 * floats }
    func start() -> PendingOperation {
      stream.startRows(
        send.pointer, counts: counts, starts: starts, receive.pointer, receiveCounts: counts,
        receiveStarts: starts, rowBytes: 4, keeping: [send, receive], "an exchange")
    }
    func time(_ body: () -> Void) -> Double {
      world.barrier()
      let began = monotonicSeconds()
      body()
      return world.allReduce([monotonicSeconds() - began], .maximum)[0]
    }
    func median(_ value: () -> Double) -> Double { (0..<repetitions).map { _ in value() }.sorted()[repetitions / 2] }
    for _ in 0..<2 { stream.wait(start()) }
    let alone = median { time { stream.wait(start()) } }
    // Products of a size between whose ends an exchange is looked at, as in a layer.
    let side = 256
    let (a, b) = (engine.operand(Tensor.zeros([side, side])), engine.operand(Tensor.zeros([side, side])))
    let c = Tensor.zeros([side, side])
    func products(_ count: Int, _ between: () -> Void) {
      for _ in 0..<count {
        engine.tiledProduct(false, false, side, side, side, a, b, c)
        between()
      }
    }
    let one = median { time { products(20) {} } } / 20
    let count = max(20, Int(2 * alone / max(one, 1e-9)))
    // One beside the other: what drifts between them is more than what a copy takes.
    let taken = median {
      let computing = time { products(count) {} }
      let together = time {
        let operation = start()
        products(count) { _ = operation.test() }
        stream.wait(operation)
      }
      return together - computing
    }
    let sent = floats * 4 * others
    return Row(
      bytes: sent, seconds: alone,
      cpuSecondsPerByte: max(0, taken) / Double(sent),
      hidden: alone > one ? 1 - max(0, taken) / alone : nil)
  }
}
