/// What ranks that train together add to a forward pass. Without one, a pass is a process of its own.
public protocol PassCoordinator: AnyObject {
  /// Which part of the global batch this pass has: the `index`-th of `count` equal ones.
  var shard: (index: Int, count: Int) { get }
  /// When a route runs; the same on all ranks.
  func schedule(block: Int, route: Int) -> RouteSchedule
  /// Starts adding a vector element by element over all ranks.
  func startSum(_ values: [Double])
  /// Waits for all sums that were started since the last time, and gives them in the order of their starts.
  func finishSums() -> [[Double]]
  /// The backward pass has left this block: nothing before it changes the gradients of blocks after it, but for those
  /// of routes that depart from it.
  func leftBlock(_ index: Int)
}
