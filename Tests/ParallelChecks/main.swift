// What ranks must agree on, checked by the ranks themselves: `mpirun -n N parallel-checks NAME`. Each check ends with a
// line "ok NAME" of the first rank; a rank that finds a difference ends the job with a line and status 1.
import Foundation
import MMoEModels
import MMoEParallel
import MMoETensor
import MMoETrain

let checks: [String: (Bench) throws -> Void] = [
  "adjoint": checkAdjoint, "wire": checkWire, "ranks": checkRanks, "strategies": checkStrategies,
  "uneven": checkUneven, "collectives": checkCollectives, "stall": checkStall, "die": checkDeath, "hang": checkHang,
  "accumulation": checkAccumulation, "banks": checkBanksAndSources, "routers": checkRouters, "paced": checkPaced,
]

let name = CommandLine.arguments.dropFirst().first ?? ""
// A session starts the ranks itself.
if name == "task" {
  do {
    if let loss = try runOutsideTask(CommandLine.arguments[2], CommandLine.arguments[3]) { print("loss \(loss)") }
  } catch {
    ParallelProcess.stop("\(error)")
  }
  exit(0)
}
guard let check = checks[name] else {
  print("no check '\(name)'; there are \(checks.keys.sorted().joined(separator: ", "))")
  exit(64)
}
do {
  let bench = try Bench(options: Array(CommandLine.arguments.dropFirst(2)))
  try check(bench)
  bench.world.barrier()
  if bench.world.rank == 0 { print("ok \(name)") }
  ParallelProcess.finish()
} catch {
  ParallelProcess.stop("\(error)")
}
