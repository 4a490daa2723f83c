import CMPI
import MMoETensor

/// Ranks that exchange messages. One process without MPI is a communicator of size 1 whose operations are done at once.
///
/// All operations are non-blocking underneath; a wait tests until the time-out, then ends the job with one line. Only the
/// main thread may use a communicator.
public final class Communicator {
  package enum Reduction: Sendable {
    case sum, maximum, minimum

    var code: mmoe_reduction {
      switch self {
      case .sum: MMOE_SUM
      case .maximum: MMOE_MAX
      case .minimum: MMOE_MIN
      }
    }
  }

  public let rank: Int
  public let size: Int
  /// Seconds after which a wait ends the job; copies made later inherit it.
  package var timeout: Double
  private let handle: OpaquePointer?
  /// Called while waiting, so that everything else in flight advances too.
  var whileWaiting: (() -> Void)?
  /// The model of a link that holds this rank's rows back; copies made later share it.
  private var pacer: LinkPacer?
  /// The ranks on this host, whose deaths are noticed at once.
  private var neighbors: Neighbors?

  private init(_ handle: OpaquePointer?, timeout: Double) {
    self.handle = handle
    self.timeout = timeout
    rank = handle.map { Int(mmoe_comm_rank($0)) } ?? 0
    size = handle.map { Int(mmoe_comm_size($0)) } ?? 1
  }

  deinit { if let handle { mmoe_comm_free(handle) } }

  /// This process alone.
  public static func single() -> Communicator { Communicator(nil, timeout: .infinity) }

  /// All ranks where a launcher started several, else this process alone.
  ///
  /// - Throws: `ParallelError` when MPI cannot be initialized.
  public static func world(timeout: Double) throws -> Communicator {
    guard ParallelProcess.isLaunched else { return single() }
    try ParallelProcess.start()
    var handle: OpaquePointer?
    check(mmoe_comm_world(&handle), "the communicator of all ranks")
    let world = Communicator(handle, timeout: timeout)
    ParallelProcess.noteRank(world.rank)
    world.neighbors = Neighbors(world)
    return world
  }

  /// Sends rows and their counts from now on as fast as a link lets them, here and in copies made later. Sums, gathers and
  /// barriers are not held back. Every rank must call.
  package func pace(by link: LinkModel) { pacer = size > 1 ? LinkPacer(link) : nil }

  /// The ranks with the same color, in the order of their keys.
  package func split(color: Int, key: Int) -> Communicator {
    guard let handle else { return Communicator.single() }
    var part: OpaquePointer?
    Communicator.check(mmoe_comm_split(handle, Int32(color), Int32(key), &part), "splitting ranks")
    return inheriting(part)
  }

  /// The same ranks with a message space of their own, for a stream of operations with its own order.
  package func duplicate() -> Communicator {
    guard let handle else { return Communicator.single() }
    var copy: OpaquePointer?
    Communicator.check(mmoe_comm_duplicate(handle, &copy), "duplicating a communicator")
    return inheriting(copy)
  }

  private func inheriting(_ handle: OpaquePointer?) -> Communicator {
    let child = Communicator(handle, timeout: timeout)
    child.neighbors = neighbors
    child.pacer = pacer
    return child
  }

  static func check(_ code: Int32, _ what: String) {
    guard code != 0 else { return }
    ParallelProcess.stop("\(what) failed (\(ParallelProcess.message(code))); see the other ranks' messages")
  }

  private func start(
    _ what: String, keeping buffers: [AnyObject] = [],
    _ begin: (OpaquePointer, UnsafeMutablePointer<OpaquePointer?>) -> Int32
  ) -> PendingOperation {
    guard let handle, size > 1 else { return PendingOperation(nil, what, buffers) }
    var request: OpaquePointer?
    Communicator.check(begin(handle, &request), what)
    return PendingOperation(request, what, buffers)
  }

  // MARK: Non-blocking

  /// Adds floats over all ranks in place.
  ///
  /// - Parameter piece: numbers of one operation of MPI's; results do not depend on it.
  package func startSum(_ values: Tensor, _ what: String, piece: Int = largestMessage / 4) -> PendingOperation {
    start(what, keeping: [values]) {
      mmoe_iallreduce_float($0, values.pointer, Int64(values.count), Int64(piece), MMOE_SUM, $1)
    }
  }

  /// Reduces doubles over all ranks in place.
  func startReduction(
    _ values: DoubleBuffer, _ reduction: Reduction, _ what: String
  ) -> PendingOperation {
    start(what, keeping: [values]) {
      mmoe_iallreduce_double(
        $0, values.pointer, Int64(values.count), Int64(Communicator.largestMessage / 8), reduction.code, $1)
    }
  }

  /// Sends `count` integers to each rank and receives as many from each.
  func startIntegers(
    _ send: IntegerBuffer, _ receive: IntegerBuffer, count: Int, _ what: String
  ) -> PendingOperation {
    if size == 1 {
      receive.pointer.update(from: send.pointer, count: count)
    }
    func begin() -> PendingOperation {
      start(what, keeping: [send, receive]) {
        mmoe_ialltoall_int($0, send.pointer, receive.pointer, Int32(count), $1)
      }
    }
    guard let pacer else { return begin() }
    let operation = PendingOperation(nil, what, [], pacer, isHeld: true)
    pacer.hold(bytes: 4 * count * (size - 1)) { operation.become(begin()) }
    return operation
  }

  /// Moves rows of `rowBytes` bytes between all ranks; counts and starts in rows.
  package func startRows(
    _ send: UnsafeRawPointer, counts: [Int], starts: [Int], _ receive: UnsafeMutableRawPointer,
    receiveCounts: [Int], receiveStarts: [Int], rowBytes: Int, keeping buffers: [AnyObject],
    _ what: String
  ) -> PendingOperation {
    let operation = start(what, keeping: buffers) {
      mmoe_ialltoallv_rows(
        $0, send, counts.map(Int64.init), starts.map(Int64.init), receive,
        receiveCounts.map(Int64.init), receiveStarts.map(Int64.init), Int32(rowBytes), pacer != nil, $1)
    }
    if let pacer { operation.hold(by: pacer) }
    return operation
  }

  /// Largest message, in bytes: MPI counts in 32 bits.
  package static let largestMessage = 1 << 30

  /// Sends bytes to one rank, in pieces where they are many.
  func startSend(_ values: Tensor, to rank: Int, _ what: String) -> [PendingOperation] {
    pieces(values).map { start, count in
      self.start(what, keeping: [values]) {
        mmoe_isend($0, values.pointer + start, Int32(count * 4), Int32(rank), 0, $1)
      }
    }
  }

  /// Receives what `startSend` sent.
  func startReceive(_ values: Tensor, from rank: Int, _ what: String) -> [PendingOperation] {
    pieces(values).map { start, count in
      self.start(what, keeping: [values]) {
        mmoe_ireceive($0, values.pointer + start, Int32(count * 4), Int32(rank), 0, $1)
      }
    }
  }

  private func pieces(_ values: Tensor) -> [(Int, Int)] {
    let step = Communicator.largestMessage / 4
    return stride(from: 0, to: values.count, by: step).map { ($0, min(step, values.count - $0)) }
  }

  // MARK: Blocking

  /// Waits for an operation.
  ///
  /// - Parameter patiently: without the time-out, such as while another rank writes a checkpoint.
  package func wait(_ operation: PendingOperation, patiently: Bool = false) {
    let began = monotonicSeconds()
    let deadline = patiently ? .infinity : began + timeout
    if handle != nil { Watchdog.shared.expect(operation.what, before: deadline) }
    defer { if handle != nil { Watchdog.shared.rest() } }
    var nextLook = began + 0.5
    var tests = 0
    while !operation.test() {
      whileWaiting?()
      pacer?.rest()
      tests += 1
      if tests & 63 == 0 {
        yieldProcessor()
        let now = monotonicSeconds()
        if now > nextLook, let neighbors {
          nextLook = now + 0.5
          if let dead = neighbors.firstDead() {
            ParallelProcess.stop(
              "rank \(dead) has died while \(operation.what) was under way; the last checkpoint is good")
          }
        }
        guard now < deadline else {
          ParallelProcess.stop(
            "\(operation.what) was not done after \(Int(timeout)) s; a rank or a link stands still (raise parallel.timeout if it is only slow)"
          )
        }
      }
    }
  }

  /// The reduction of each element over all ranks.
  package func allReduce(_ values: [Double], _ reduction: Reduction = .sum) -> [Double] {
    guard size > 1 else { return values }
    let buffer = DoubleBuffer(values)
    wait(startReduction(buffer, reduction, "a reduction"))
    return buffer.values
  }

  /// Every rank's bytes in rank order; they may differ in number.
  package func allGather(_ bytes: [UInt8]) -> [[UInt8]] {
    guard size > 1 else { return [bytes] }
    let counts = allReduceCounts(bytes.count)
    let longest = max(counts.max()!, 1)
    guard longest <= Communicator.largestMessage else {
      ParallelProcess.stop(
        "gathering has \(longest) bytes of a rank, expected at most \(Communicator.largestMessage); use smaller data")
    }
    let own = ByteBuffer(bytes, capacity: longest)
    let all = ByteBuffer([], capacity: longest * size)
    wait(
      start("gathering", keeping: [own, all]) {
        mmoe_iallgather($0, own.pointer, Int32(longest), all.pointer, $1)
      })
    return (0..<size).map { Array(all.bytes[$0 * longest..<$0 * longest + counts[$0]]) }
  }

  private func allReduceCounts(_ count: Int) -> [Int] {
    var counts = [Double](repeating: 0, count: size)
    counts[rank] = Double(count)
    return allReduce(counts).map { Int($0) }
  }

  /// The bytes of one rank on all.
  ///
  /// - Parameter patiently: that rank may take its time before it calls.
  package func broadcast(_ bytes: [UInt8], from root: Int = 0, patiently: Bool = false) -> [UInt8] {
    guard size > 1 else { return bytes }
    let length = DoubleBuffer([Double(bytes.count)])
    wait(
      start("a broadcast", keeping: [length]) {
        mmoe_ibroadcast($0, length.pointer, 8, 8, Int32(root), $1)
      }, patiently: patiently)
    let buffer = ByteBuffer(rank == root ? bytes : [], capacity: Int(length.values[0]))
    wait(
      start("a broadcast", keeping: [buffer]) {
        mmoe_ibroadcast(
          $0, buffer.pointer, Int64(buffer.count), Int64(Communicator.largestMessage), Int32(root), $1)
      })
    return buffer.bytes
  }

  /// Waits until every rank has come here.
  package func barrier(patiently: Bool = false) {
    wait(start("a barrier") { mmoe_ibarrier($0, $1) }, patiently: patiently)
  }
}

/// An operation in flight; holds the buffers that it reads and writes.
package final class PendingOperation {
  let what: String
  private var request: OpaquePointer?
  private var buffers: [AnyObject]
  /// What holds messages of it back, and whether none of it has begun.
  private var pacer: LinkPacer?
  private var isHeld: Bool

  init(
    _ request: OpaquePointer?, _ what: String, _ buffers: [AnyObject], _ pacer: LinkPacer? = nil, isHeld: Bool = false
  ) {
    self.request = request
    self.what = what
    self.buffers = buffers
    self.pacer = pacer
    self.isHeld = isHeld
  }

  /// Begins what was held back.
  fileprivate func become(_ begun: PendingOperation) {
    (request, buffers, isHeld) = (begun.request, begun.buffers, false)
  }

  /// Hands its held messages to a link.
  fileprivate func hold(by pacer: LinkPacer) {
    guard let request else { return }
    self.pacer = pacer
    for index in 0..<mmoe_request_held(request) {
      pacer.hold(bytes: Int(mmoe_request_held_bytes(request, index))) { [what] in
        Communicator.check(mmoe_request_send_next(request), what)
      }
    }
    pacer.release()
  }

  /// Advances all communication and says whether this operation is done.
  package func test() -> Bool {
    pacer?.release()
    guard let request else { return !isHeld }
    var done = false
    Communicator.check(mmoe_request_test(request, &done), what)
    if done {
      self.request = nil
      buffers = []
    }
    return done
  }
}
