/// The row counts of a route on their way: from every rank to every other, in one step or, where the rows go through
/// neighbours, in two, so that these know what passes them.
final class CountExchange {
  private let layout: RouteLayout
  private let levels: HostLevels?
  private let receive: IntegerBuffer
  private(set) var operation: PendingOperation
  private var isSecond: Bool

  private static let name = "the exchange of row counts"

  init(_ layout: RouteLayout, _ stream: Communicator, _ levels: HostLevels?) {
    (self.layout, self.levels) = (layout, levels)
    isSecond = levels == nil
    receive = IntegerBuffer(Array(repeating: 0, count: layout.ranks * layout.experts))
    guard let levels else {
      operation = stream.startIntegers(
        IntegerBuffer(layout.sent), receive, count: layout.experts, CountExchange.name)
      return
    }
    let sent = CountExchange.transposed(layout.sent, levels.hosts, levels.places, layout.experts)
    operation = levels.counts.inside.startIntegers(
      IntegerBuffer(sent), receive, count: levels.hosts * layout.experts, CountExchange.name)
  }

  /// Advances it; true once the layout knows the counts.
  func advance() -> Bool {
    guard operation.test() else { return false }
    if let levels, !isSecond {
      let passing = receive.values
      layout.pass(passing, hosts: levels.hosts)
      let sent = CountExchange.transposed(passing, levels.places, levels.hosts, layout.experts)
      operation = levels.counts.between.startIntegers(
        IntegerBuffer(sent), receive, count: levels.places * layout.experts, CountExchange.name)
      isSecond = true
      guard operation.test() else { return false }
    }
    layout.receive(receive.values)
    return true
  }

  /// `[outer][inner][n]` as `[inner][outer][n]`.
  private static func transposed(_ values: [Int32], _ outer: Int, _ inner: Int, _ n: Int) -> [Int32] {
    var result: [Int32] = []
    for i in 0..<inner {
      for o in 0..<outer { result += values[(o * inner + i) * n..<(o * inner + i + 1) * n] }
    }
    return result
  }
}
