import Foundation
import MMoEFiles
import MMoEParallel
import MMoEReport
import MMoETensor

/// MPI: whether two ranks can start and exchange rows.
enum RankCheck {
  private struct Exchange: Decodable {
    let bytes: Int
    let seconds: Double
  }

  static func run() -> Finding {
    let began = monotonicSeconds()
    let result =
      SearchPath.find("mpirun") == nil
      ? nil
      : OwnProgram.run(
        ["bench", "exchange", "--ranks", "2", "--repetitions", "3", "--largest", "1048576", "--json"], timeout: 15)
    return finding(
      library: ParallelProcess.library, hasLauncher: SearchPath.find("mpirun") != nil, result,
      seconds: monotonicSeconds() - began, sharedMemory: FileSystem(of: "/dev/shm")?.size)
  }

  static func finding(
    library: String, hasLauncher: Bool, _ result: OwnProgram.Result?, seconds: Double, sharedMemory: Int?
  ) -> Finding {
    var finding = Finding("ranks")
    let line = result?.output.split(separator: "\n").last.map { Data($0.utf8) } ?? Data()
    let exchanges = (try? JSONDecoder().decode([Exchange].self, from: line)) ?? []
    finding.values = ["library": .string(library), "starts": .bool(result?.status == 0 && !exchanges.isEmpty)]
    if !hasLauncher {
      finding.lines = ["\(library); no mpirun"]
      finding.problems.append("mpirun is not on the PATH, so --ranks cannot start any; install openmpi-bin")
    } else if let last = exchanges.last, result?.status == 0 {
      finding.lines = [
        "\(library): two ranks started and ended in \(HumanFormat.duration(seconds)); 1 MB from one to the other in \(HumanFormat.fixed(last.seconds * 1e3, 2)) ms"
      ]
      finding.values["exchange_bytes_per_s"] = .double(Double(last.bytes) / last.seconds)
    } else {
      finding.lines = ["\(library): two ranks did not start"]
      let said = result?.errors.split(whereSeparator: \.isNewline).map(String.init)
      let reason =
        result.map {
          $0.isLate ? "not done after \(HumanFormat.duration(seconds))" : said?.first ?? "status \($0.status)"
        }
        ?? "this program cannot be started again"
      finding.problems.append(
        "two ranks cannot start (\(reason)); try `mpirun -n 2 true` and look at what Open MPI says")
    }
    if let sharedMemory, sharedMemory < 128 << 20 {
      finding.notes.append(
        "/dev/shm has \(HumanFormat.bytes(sharedMemory)), where ranks of one host exchange rows; more than a few ranks need more (docker run --shm-size=1g)"
      )
    }
    return finding
  }
}
