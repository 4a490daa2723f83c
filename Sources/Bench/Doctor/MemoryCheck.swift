import CKernels
import Foundation
import MMoEReport
import MMoETensor

/// Memory: how much there is, and how fast it is read.
enum MemoryCheck {
  static func run() -> Finding {
    let information = (try? String(contentsOfFile: "/proc/meminfo", encoding: .utf8)) ?? ""
    let available = field("MemAvailable", information)
    let rate = available.map { $0 > 1 << 30 } ?? true ? readRate() : nil
    return finding(
      host: MemoryLimit.hostBytes, container: MemoryLimit.containerBytes, process: MemoryLimit.virtualBytes,
      available: available, swapUsed: (field("SwapTotal", information) ?? 0) - (field("SwapFree", information) ?? 0),
      readRate: rate)
  }

  /// A field of /proc/meminfo, in bytes.
  static func field(_ name: String, _ information: String) -> Int? {
    let line = information.split(separator: "\n").first { $0.hasPrefix(name + ":") }
    return line?.split(separator: " ").dropFirst().first.flatMap { Int($0) }.map { $0 * 1024 }
  }

  static func finding(
    host: Int, container: Int?, process: Int?, available: Int?, swapUsed: Int, readRate: Double?
  ) -> Finding {
    var finding = Finding("memory")
    var words = ["\(HumanFormat.bytes(host))"]
    if let available { words.append("\(HumanFormat.bytes(available)) available") }
    if let container, container <= host { words.append("limited by a control group") }
    if let process { words.append("ulimit -v \(HumanFormat.bytes(process))") }
    if let readRate { words.append("read at \(HumanFormat.fixed(readRate / 1e9, 1)) GB/s") }
    finding.lines = [words.joined(separator: ", ")]
    finding.values = [
      "bytes": .int(host), "available": available.map { .int($0) } ?? .null,
      "container_bytes": container.map { .int($0) } ?? .null, "virtual_limit": process.map { .int($0) } ?? .null,
      "swap_used": .int(swapUsed), "read_bytes_per_s": readRate.map { .double($0) } ?? .null,
    ]
    if let available, available < 1_000_000_000 {
      finding.notes.append(
        "only \(HumanFormat.bytes(available)) of memory are available: vit-small needs 1.1 GB; end other programs, or lower data.batch"
      )
    }
    if swapUsed > host / 10 {
      finding.notes.append(
        "\(HumanFormat.bytes(swapUsed)) are swapped out; what is read from there is a thousand times slower")
    }
    return finding
  }

  /// Bytes a second that all threads together read from memory, not from a cache.
  private static func readRate() -> Double? {
    guard let engine = try? Engine() else { return nil }
    let (count, tile) = (1 << 26, 1 << 20)
    let tensor = Tensor.zeros([count])
    let values = tensor.pointer
    var best = Double.infinity
    for _ in 0..<4 {
      let began = monotonicSeconds()
      engine.pool.run(count / tile) { index, _ in _ = mmoe_sum_of_squares(values + index * tile, tile) }
      best = min(best, monotonicSeconds() - began)
    }
    return Double(4 * count) / best
  }
}
