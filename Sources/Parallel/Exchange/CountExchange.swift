/// The row counts of a route on their way from every rank to every other.
final class CountExchange {
  let operation: PendingOperation
  private let layout: RouteLayout
  private let receive: IntegerBuffer

  init(_ layout: RouteLayout, _ stream: Communicator) {
    self.layout = layout
    receive = IntegerBuffer(Array(repeating: 0, count: layout.ranks * layout.experts))
    operation = stream.startIntegers(
      IntegerBuffer(layout.sent), receive, count: layout.experts, "the exchange of row counts")
  }

  /// Advances it; true once the layout knows the counts.
  func advance() -> Bool {
    guard operation.test() else { return false }
    layout.receive(receive.values)
    return true
  }
}
