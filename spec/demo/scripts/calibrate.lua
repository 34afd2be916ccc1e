-- A job that goes wrong on purpose: the probe is too cold.

return {
    api = 1,
    description = "Calibrate a probe that cannot be calibrated",
    args = { probe = "string" },
    run = function(job, args)
        job:step("measure", function()
            job:progress(50, "measuring")
            return nil, ("probe %s reads -273 C: is it plugged in?"):format(args.probe)
        end)
        return true
    end,
}
