using Microsoft.Extensions.Options;
using Registry.Api.Auth;
using Registry.Api.Images;
using Registry.Api.Schemas;
using Registry.Storage.Domain;

namespace Registry.Api.Policy;

/// <summary>Who may do what to which custom properties, beside what the policy says of their images: Glance's property
/// protections (spec/glance-v2.md, 3.6).</summary>
/// <remarks>The first rule that is about a property counts; one that no rule is about is nobody's. Without a file there is
/// no protection. What the server itself keeps on an image is seen by all and touched by none, whatever the file says.
/// </remarks>
public sealed class PropertyProtections
{
    private readonly PolicyEngine _policy;
    private readonly CustomProperties _schema;
    private readonly IReadOnlyList<PropertyRule>? _rules;
    private readonly bool _isByPolicy;

    /// <summary>Reads the operator's file, if one is configured.</summary>
    /// <exception cref="ConfigurationException">It cannot be used; the message names the line.</exception>
    public PropertyProtections(IOptions<RegistryOptions> options, PolicyEngine policy, CustomProperties schema)
    {
        var section = options.Value.PropertyProtections;
        _policy = policy;
        _schema = schema;
        _isByPolicy = section.RuleFormat == "policies";
        _rules = section.File.Length == 0 ? null : PropertyRulesFile.Read(section.File, _isByPolicy, policy.Knows);
    }

    /// <summary>Gives an image a property, or a property another value.</summary>
    /// <exception cref="RegistryException">Forbidden; BadRequest for a name or value that cannot be one.</exception>
    public void Set(Caller caller, Image image, string name, string value)
    {
        ImageRules.RequireNotReserved(name);
        Require(caller, name, image.FindProperty(name) is null ? PropertyAction.Create : PropertyAction.Update);
        _schema.RequireAllowed(name, value);
        image.SetProperty(ImageRules.PropertyName(name), ImageRules.PropertyValue(name, value));
    }

    /// <summary>Takes a property away from an image; one that is not there is no error.</summary>
    /// <exception cref="RegistryException">Forbidden.</exception>
    public void Remove(Caller caller, Image image, string name)
    {
        ImageRules.RequireNotReserved(name);
        if (image.FindProperty(name) is not null)
        {
            Require(caller, name, PropertyAction.Delete);
            image.RemoveProperty(name);
        }
    }

    /// <summary>Whether a caller may see a property.</summary>
    public bool IsSeen(Caller caller, string name) => Allows(caller, name, PropertyAction.Read);

    /// <summary>Leaves out of an image what a caller may not see. The image must not be saved after that.</summary>
    /// <returns>The image.</returns>
    public Image Show(Caller caller, Image image)
    {
        if (_rules is not null)
        {
            foreach (var name in image.Properties.Select(property => property.Name).ToList())
            {
                if (!IsSeen(caller, name))
                {
                    image.RemoveProperty(name);
                }
            }
        }

        return image;
    }

    private void Require(Caller caller, string name, PropertyAction action)
    {
        if (!Allows(caller, name, action))
        {
            throw new RegistryException(
                ErrorCode.Forbidden, $"Attribute '{ImageRules.Shown(name)}' is reserved.", "property_protected");
        }
    }

    private bool Allows(Caller caller, string name, PropertyAction action)
    {
        if (_rules is null || name.StartsWith("os_glance", StringComparison.Ordinal))
        {
            return true;
        }

        return _rules.FirstOrDefault(rule => rule.IsAbout(name))?.Allowed[action] switch
        {
            null or ["!", ..] => false,
            ["@", ..] => true,
            [var rule] when _isByPolicy => _policy.Allows(caller, rule, PolicyTarget.None),
            var roles => !roles.Contains("!")
                && (roles.Contains("@") || roles.Any(role => caller.Roles.Contains(role) || caller.ServiceRoles.Contains(role))),
        };
    }
}
