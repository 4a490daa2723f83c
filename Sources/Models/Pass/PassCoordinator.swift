/// What ranks that train together add to a forward pass. Without one, a pass is a process of its own.
public protocol PassCoordinator: AnyObject {
  /// Which part of the global batch this pass has: the `index`-th of `count` equal ones.
  var shard: (index: Int, count: Int) { get }
  /// When a route runs; the same on all ranks.
  func schedule(block: Int, route: Int) -> RouteSchedule
  /// Adds vectors element by element over all ranks; `then` receives the sums, at the latest in `completeSums`.
  func sum(_ values: [Double], then: @escaping ([Double]) -> Void)
  /// Waits for all sums of this pass.
  func completeSums()
  /// The backward pass has left this block: nothing before it changes the gradients of blocks after it, but for those
  /// of routes that depart from it.
  func leftBlock(_ index: Int)
}
