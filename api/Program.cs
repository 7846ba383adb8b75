using Registry.Api.Cli;

return await RegistryCommand.RunAsync(args);
