/// When the parts of a route run. Schedules move waits and expert computation in time; the operations that touch
/// shared states keep their places, so results do not depend on them.
public struct RouteSchedule: Sendable, Equatable {
  /// Parts that the route's rows are cut into: exchange and experts of different parts overlap.
  public var parts: Int
  /// Operators of the backbone (attention, MLP, shared expert) that run between the route's departure and its experts.
  /// More than there are: the experts run at the end of the block.
  public var slot: Int
  /// Whether the experts' outputs are awaited right after the experts, not at the end of the block.
  public var awaitsAtOnce: Bool

  public init(parts: Int = 1, slot: Int, awaitsAtOnce: Bool) {
    self.parts = parts
    self.slot = slot
    self.awaitsAtOnce = awaitsAtOnce
  }

  /// Experts and both exchanges right at the departure: nothing overlaps.
  public static let sequential = RouteSchedule(slot: 0, awaitsAtOnce: true)
  /// Experts at the end of the block; for one process, where only memory cares.
  public static let late = RouteSchedule(slot: .max, awaitsAtOnce: false)
}
